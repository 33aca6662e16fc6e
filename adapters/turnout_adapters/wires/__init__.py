"""One module or folder for each wire that is not OpenAI's Responses: a pure encoder and a pure decoder."""
