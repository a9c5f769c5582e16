-- The end of each script. Its own file is the body of script(); see scripts.py.
local answer = script()
rank_touched()
tell_listeners()
return answer
