-- Ends a pass that has scored again all that waits, unless the rules have changed since.
-- ARGV     the token of the pass
-- returns  1 when it is over, else 0
local over = rules.rescoring == ARGV[1] and call('HDEL', key('rules'), 'rescoring') or 0
ring()
return over
