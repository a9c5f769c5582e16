-- A job that waits no more is expected no more. Listens to what has gone.
local function forget_asked(id)
  if call('HDEL', key('asked'), id) == 1 then call('ZREM', key('asked', 'due'), id) end
end

listeners.gone = forget_asked

