-- Scores sites again, by the rules as they are now: their places in their lanes. None is behind its lane's virtual time,
-- for what it missed under other rules gives no credit under these. Safe to repeat.
-- ARGV     site ids
-- returns  how many scores changed
for _, site in ipairs(ARGV) do
  if call('ZSCORE', key('points'), site) then  -- else it waits no more, and joins when it does
    for _, band in ipairs(bands) do join(site, band) end
    touch(site)
  end
end
return rank_touched()
