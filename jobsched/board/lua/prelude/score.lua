-- The score: who goes next. Loaded in front of each script.
--
-- score = boost * min(points, points_cap) - share * tag - age * head's enqueued_at - size * head's execution_time
--
-- The site with the highest score of a lane is served. tag is the site's start tag in start-time fair queueing (Goyal,
-- Vin, Cheng: "Start-time Fair Queueing", SIGCOMM 1996), in seconds of service divided by the site's weight; head is
-- the first job of the site's line. The weights of the terms are the policy's (policy.py).
local goes_by_share = tonumber(rules.share) > 0
local goes_by_head = tonumber(rules.age) ~= 0 or tonumber(rules.size) ~= 0

local function terms(band, points, tag, head)  -- boost, share, age, size; without a head the last two are nothing
  return rules[band .. ':boost'] * math.min(points, rules.points_cap), -rules.share * tag,
         -rules.age * (head and head.enqueued_at or 0), -rules.size * (head and head.seconds or 0)
end

local function sum(boost, share, age, size)
  return boost + share + age + size
end

local function terms_of(site, band, points)  -- those of a site as it stands in a lane
  local tag = call('HGET', key('site', site), 'tag:' .. band) or 0
  return terms(band, points, tag, goes_by_head and entry(first(key('line', site, band))))
end

local function score(site, band, points)
  return sum(terms_of(site, band, points))
end

local function line_score(job)  -- the same formula one level down, lower first; the tag is the user's
  return 0 - sum(terms(job.band, 0, job.tag, job))
end

