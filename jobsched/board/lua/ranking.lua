-- A lane's order. Changes nothing.
-- ARGV     band, the most sites
-- returns  for each site, next one first: {id, score, waiting jobs, points, boost, share, age, size}, all as text; the
--          last four are the terms of the score
local band, rows = ARGV[1], {}
local order = call('ZREVRANGE', key('lane', band), 0, ARGV[2] - 1, 'WITHSCORES')
for i = 1, #order, 2 do
  local site, points = order[i], call('ZSCORE', key('points'), order[i]) or 0
  local row = {terms_of(site, band, points)}
  for n, term in ipairs(row) do row[n] = exact(term) end
  rows[#rows + 1] = {site, order[i + 1], call('ZCARD', key('line', site, band)), points, unpack(row)}
end
return rows
