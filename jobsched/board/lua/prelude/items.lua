-- What a script is given of many things alike. Loaded in front of each script.
-- ARGV     at a place: the names of the fields, in one value; then the values of each item (items() in store.py)
local function items(at)  -- to loop over: each item as a table, and the names in their order
  local names = {}
  for name in string.gmatch(ARGV[at], '%S+') do names[#names + 1] = name end
  local last = at
  return function()
    if last >= #ARGV then return nil end
    local item = {}
    for i, name in ipairs(names) do item[name] = ARGV[last + i] end
    last = last + #names
    return item, names
  end
end

