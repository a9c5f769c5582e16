-- Asks about the newest of the jobs that have arrived. Listens to what is placed.
function listeners.placed(those)
  if may_ask('placed', those.band, those.now) then ask(those.id, those.now + NUMBERS.moment_s, those.now, 0) end
end

