-- The rules that the board goes by, and how it writes numbers. Loaded in front of each script, which answers BOARDLOST
-- when there are no rules, or those of another shape.
local rules = {}
local flat_rules = call('HGETALL', key('rules'))
for i = 1, #flat_rules, 2 do rules[flat_rules[i]] = flat_rules[i + 1] end
if not rules.epoch then return redis.error_reply('BOARDLOST the board has no rules: rebuild it from SQL') end
local SHAPE = '3'  -- as in rules.py: what another version has written is not for this one to read
if rules.shape ~= SHAPE then return redis.error_reply('BOARDLOST the board has another shape: rebuild it from SQL') end

local bands = {}
for band in string.gmatch(rules.bands, '%S+') do bands[#bands + 1] = band end

local function exact(number)  -- Lua's own conversion keeps 14 digits only
  return string.format('%.17g', number)
end

local function micros(seconds)  -- whole ones, so that what is added and taken away again leaves nothing
  return math.floor(seconds * 1e6 + 0.5)
end

local function clock(argument)  -- Redis's clock, unless the caller keeps a virtual one
  if argument ~= '' then return tonumber(argument) end
  local now = call('TIME')
  return now[1] + now[2] / 1000000
end

