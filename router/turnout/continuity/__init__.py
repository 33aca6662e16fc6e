"""What keeps a conversation on the account that holds its state."""
