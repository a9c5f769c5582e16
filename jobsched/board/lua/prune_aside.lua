-- Tidies up what stands for no job that was set aside, and lists a pair again whose jobs are there.
-- ARGV     pair, "band task"; empty: what says of jobs to which pair they belong
-- returns  how much was wrong
local pair, wrong = ARGV[1], 0

local function is_aside(id)
  local job = entry(id)
  return job and job.slice == ASIDE
end

if pair == '' then
  for _, id in ipairs(call('HKEYS', key('aside'))) do
    if not is_aside(id) then wrong = wrong + call('HDEL', key('aside'), id) end
  end
  return wrong
end

for _, id in ipairs(call('ZRANGE', key('aside', pair), 0, -1)) do
  if not is_aside(id) or call('HGET', key('aside'), id) ~= pair then
    wrong = wrong + call('ZREM', key('aside', pair), id)
  end
end
if call('EXISTS', key('aside', pair)) == 1 then return wrong + call('SADD', key('asides'), pair) end
return wrong + call('SREM', key('asides'), pair) + call('DEL', key('turns', pair))
