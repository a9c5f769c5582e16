-- Takes a slice off the board whose record can not be read, or whose record or flight is missing. Its worker, if there
-- is one, puts it back (adopt); else its jobs are found to be on no line and in no flight, and are placed again.
-- ARGV     slice, 1 when its record can not be read
-- returns  how many keys and members went
local record = key('slice', ARGV[1])
local flies = call('ZSCORE', key('flight'), ARGV[1])
if ARGV[2] ~= '1' and flies and call('EXISTS', record) == 1 then return 0 end
return call('DEL', record) + call('ZREM', key('flight'), ARGV[1])
