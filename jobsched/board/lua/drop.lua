-- Takes waiting jobs off their lines, or from what was set aside (cancel, edit, delete).
-- ARGV     job ids
-- returns  for each: 1 dropped, 0 not on the board, -1 in flight and left there
local outcomes = {}
for i, id in ipairs(ARGV) do
  local job = entry(id)
  if not (job and known(id, job)) then  -- at most a stray entry: neither on its line nor in flight, or not to be read
    call('HDEL', key('jobs'), id)
    outcomes[i] = 0
  elseif job.slice == ASIDE then
    leave_aside(id, call('HGET', key('aside'), id))
    call('HDEL', key('jobs'), id)
    outcomes[i] = 1
  elseif job.slice ~= '-' then
    outcomes[i] = -1
  else
    leave_line(id, job)
    call('HDEL', key('jobs'), id)
    outcomes[i] = 1
  end
end
return outcomes
