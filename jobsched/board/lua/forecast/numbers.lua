-- The numbers of the forecast, all of them. Loaded in front of what goes by them.
--
-- Those that are marked "tuned" were chosen on the workloads of docs/fairness.md ("When will it start?"), and held on
-- seeds that played no part in that: a p90 held for 90.8 to 96.9% in each of 22 runs. Of the others no run says that they
-- matter: they bound what a forecast costs, or say what is meant.
local NUMBERS = {
  -- The raw guess (guess.lua)
  rivals = 16,            -- sites of the lane that are looked at; of more, so many in equal distances: bounds the cost
  least_raw_s = 0.001,    -- no guess is shorter; the shortest jobs take about so long
  -- The pace at which work ends (pace.lua)
  pace_lately_s = 30,     -- tuned: what ended so long ago weighs e times less
  prior_s = 0.2,          -- tuned: so much of seeing counts as much as what is expected unseen,
  prior_slices = 2,       -- and at least that of so many slices
  first_slice_s = 0.1,    -- what a slice takes, before one is seen: the budget of a slice
  usual = 20,             -- slices after which a slice counts for little in what one usually takes
  -- What is told, before anything is learnt (told.lua)
  first_aims = {['50'] = 1, ['90'] = 2.5},          -- times the raw guess: 2.5, not 4, since paces are those of work
                                                    -- that ended, and the raw guess is right from the first
  first_least_s = {['50'] = 0.005, ['90'] = 0.02},  -- but at least so long; tuned
  kinds_a_decade = 2,     -- guesses of one kind are alike in length
  -- What is learnt (learn.lua)
  quantiles = {['50'] = 0.55, ['90'] = 0.93},       -- tuned: a little more than told, for what is learnt comes late
  queued_90 = 0.95,       -- tuned: the same in a worker's queue, where lanes take turns, so that waits come in clusters
  first_step = 1.4,       -- tuned: of a logarithm, over the root of how many steps were made,
  least_step = 0.2,       -- but at least so much, so that it follows a change of the load
  most_late = 4,          -- late jobs that one call looks at: bounds the cost
  queued_kinds = 13,      -- half decades of the time in a worker's queue: from moment_s to hours
  -- Who is asked (ask.lua)
  ask_every_s = 0.005,    -- at most one each, in each lane: bounds the cost, however much comes
  most_asked = 10000,     -- jobs that are waited for at once: bounds the memory
  moment_s = 0.01,        -- nobody asks about a job sooner after it was placed, and then it may be gone from its line
  again_s = 1,            -- a job with less before it is asked only when placed: seen later, it is about to go
  long_s = 10,            -- of those that wait longer, fewer are asked: all that are asked wait at once
}

