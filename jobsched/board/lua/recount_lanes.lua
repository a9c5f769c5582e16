-- Counts each lane's waiting and flying jobs again, and mends what differs. Looks at every site with waiting jobs.
-- ARGV     the most sites to look at; above it nothing is done
-- returns  how many numbers were wrong
if call('ZCARD', key('points')) > tonumber(ARGV[1]) then return 0 end

local right, wrong = {}, 0
for _, band in ipairs(bands) do
  for _, what in ipairs({'waiting:', 'flying:', 'work:', 'held_work:'}) do right[what .. band] = 0 end
end
for _, site in ipairs(call('ZRANGE', key('points'), 0, -1)) do
  for _, band in ipairs(bands) do
    local waiting, work, held = 'waiting:' .. band, 'work:' .. band, 'held_work:' .. band
    local works = call('HMGET', key('site', site), work, held)
    right[waiting] = right[waiting] + call('ZCARD', key('line', site, band))
    right[work], right[held] = right[work] + (works[1] or 0), right[held] + (works[2] or 0)
  end
end
for _, slice in ipairs(call('ZRANGE', key('flight'), 0, -1)) do
  local record = call('HMGET', key('slice', slice), 'band', 'jobs')
  local flying = 'flying:' .. (record[1] or '')
  for _ in string.gmatch(right[flying] and record[2] or '', '%S+') do right[flying] = right[flying] + 1 end
end
for field, count in pairs(right) do
  if tonumber(call('HGET', key('lanes'), field) or 0) ~= count then
    call('HSET', key('lanes'), field, exact(count))
    wrong = wrong + 1
  end
end
return wrong
