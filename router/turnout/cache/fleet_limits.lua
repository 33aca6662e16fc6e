-- One exchange of one replica over all windows of one key, in one atomic step.
-- The algorithm is limits/ledger.py, which this is tested against. Numbers are whole and below 2^53.
--
-- KEYS[1]: a hash with the fields
--   e            the epoch: who made the key, and when
--   g            end of the grace after a loss of memory
--   w:<window>   bucket amount bucket amount ...
--   l:<replica>  expiry serial window amount window amount ...
--   c            replica expiry window amount ...          (the claim)
-- ARGV: now ("" for the server's time), replica, epoch, serial, life, grace, claim, memory, buckets, number of windows,
--   then for each window: name, width, limit, held, least, most, number of reports, (bucket, change) ...
-- Returns {now, epoch, rest of the grace, replicas, granted ...}.

local key = KEYS[1]
local at = 0
local function word() at = at + 1; return ARGV[at] end
local function number() return tonumber(word()) end
local function text(value) return string.format('%.0f', value) end

local given, replica, epoch, serial = word(), word(), word(), word()
local life, grace, claim_life, memory, BUCKETS, count = number(), number(), number(), number(), number(), number()
local now
if given == '' then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
else
  now = tonumber(given)
end

local function words(packed)
  local found = {}
  for one in string.gmatch(packed, '%S+') do found[#found + 1] = one end
  return found
end

local function amounts_from(list, first)
  local found = {}
  for index = first, #list, 2 do found[list[index]] = tonumber(list[index + 1]) end
  return found
end

local stored = {}
local flat = redis.call('HGETALL', key)
for index = 1, #flat, 2 do stored[flat[index]] = flat[index + 1] end

local fields, gone = {}, {}
local function keep(name, value) fields[#fields + 1] = name; fields[#fields + 1] = value end

-- the epoch
local current = stored['e']
if not current then
  current = replica .. '-' .. text(now)
  keep('e', current)
end
local known = epoch == '' or epoch == current
local grace_until = tonumber(stored['g'] or '0')
if not known and grace_until == 0 then
  grace_until = now + grace
  keep('g', text(grace_until))
end

-- the leases of the others, and the claim
local live, lent, repeated = 0, {}, false
for name, packed in pairs(stored) do
  if string.sub(name, 1, 2) == 'l:' then
    local parts = words(packed)
    local expires = tonumber(parts[1])
    local mine = name == 'l:' .. replica
    if expires + memory <= now then
      if not mine then gone[#gone + 1] = name end
    elseif mine then
      repeated = parts[2] == serial
    elseif expires > now then
      live = live + 1
      for window, amount in pairs(amounts_from(parts, 3)) do lent[window] = (lent[window] or 0) + amount end
    end
  end
end
local claimant, claimed = nil, {}
if stored['c'] then
  local parts = words(stored['c'])
  if tonumber(parts[2]) > now then
    claimant = parts[1]
    if claimant ~= replica then claimed = amounts_from(parts, 3) end
  else
    gone[#gone + 1] = 'c'
  end
end

-- what was used, and what room that leaves
local lends = known and now >= grace_until
local enough, waiting, longest = lends, false, 0
local wishes = {}
for number_of_window = 1, count do
  local wish = { name = word(), width = number(), limit = number(), held = number(), least = number(), most = number() }
  local index = math.floor(now / wish.width)
  local buckets, used = {}, 0
  local packed = words(stored['w:' .. wish.name] or '')
  for place = 1, #packed, 2 do
    local bucket = tonumber(packed[place])
    if bucket >= index - BUCKETS then buckets[bucket] = tonumber(packed[place + 1]) end
  end
  for report = 1, number() do
    local bucket, change = number(), number()
    if bucket == -1 then bucket = index end
    if known and not repeated and math.abs(index - bucket) <= BUCKETS then
      buckets[bucket] = (buckets[bucket] or 0) + change
    end
  end
  local list = {}
  for bucket, amount in pairs(buckets) do
    used = used + amount
    list[#list + 1] = text(bucket)
    list[#list + 1] = text(amount)
  end
  keep('w:' .. wish.name, table.concat(list, ' '))
  wish.room = wish.limit - used - (lent[wish.name] or 0) - (claimed[wish.name] or 0)
  if wish.room < wish.least then enough = false end
  if wish.least > 0 then waiting = true end
  longest = math.max(longest, wish.width * (BUCKETS + 1))
  wishes[#wishes + 1] = wish
end

-- the new lease
local answer = { now, current, math.max(grace_until - now, 0), live + 1 }
local lease, wanted = { text(now + life), serial }, { replica, text(now + claim_life) }
for _, wish in ipairs(wishes) do
  local granted = wish.held
  if enough then granted = math.max(wish.held, math.min(wish.most, wish.room)) end
  answer[#answer + 1] = granted
  lease[#lease + 1] = wish.name
  lease[#lease + 1] = text(granted)
  wanted[#wanted + 1] = wish.name
  wanted[#wanted + 1] = text(wish.least)
end
keep('l:' .. replica, table.concat(lease, ' '))

-- the claim of the first that was refused
if lends and (not claimant or claimant == replica) then
  if waiting and not enough then
    keep('c', table.concat(wanted, ' '))
  elseif claimant then
    gone[#gone + 1] = 'c'
  end
end

if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
redis.call('HSET', key, unpack(fields))
redis.call('PEXPIRE', key, longest + memory)
return answer
