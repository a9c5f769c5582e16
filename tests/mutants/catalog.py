"""The faults, each with the tests that must notice it.

A fault is an exact replacement of text: when the code has changed so that the text is gone, the run fails, so that no
fault rots unseen. The tests named are the quickest that notice; the whole suite may hold more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """A replacement of text that a file holds exactly once."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One fault. ``tests`` are arguments of pytest."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


def _mutant(name: str, path: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, (Change(f"jobsched/{path}", old, new),), tuple(f"tests/{test}" for test in tests))


def _walk(scenario: str, failpoint: str, way: str) -> str:
    return (f"failpoints/test_failpoints.py::test_the_promise_holds_after_a_fault_at"
            f"[sqlite-{scenario}-{failpoint}-{way}]")


_LEDGER, _REPAIR = "integration/test_ledger.py::test_", "integration/test_repair.py::test_"
_BOARD, _FLIGHT = "integration/test_board.py::test_", "integration/test_board_flight.py::test_"
_COUNTS, _ORDER = "integration/test_board_counts.py::test_", "integration/test_board_order.py::test_"
_LIMITS, _POLICY = "integration/test_board_limits.py::test_", "integration/test_board_policy.py::test_"
_CONTROLS = "integration/test_controls.py::test_"
_OVERRUNS, _BANDS = "integration/test_overruns.py::test_", "integration/test_ledger_bands.py::test_"
_RUNNER, _SUBMIT = "integration/test_runner.py::test_", "integration/test_submit.py::test_"

MUTANTS = (
    # The fences
    _mutant("start fence without the attempt", "ledger.py",
            "tuple_(Job.id, Job.attempt).in_(fences)", "Job.id.in_([job for job, _ in fences])",
            f"{_LEDGER}start_skips_another_attempt_and_what_is_not_there"),
    _mutant("start fence without the status", "ledger.py",
            "move(Status.PENDING, Status.RUNNING)\n", "update(Job).values(status=Status.RUNNING.value)\n",
            f"{_LEDGER}start_skips_what_is_not_pending"),
    _mutant("start fence that does not count the start", "ledger.py",
            ".values(attempt=Job.attempt + 1, started_at", ".values(attempt=Job.attempt, started_at",
            f"{_LEDGER}start_returns_what_is_pending_at_its_attempt_in_the_order_of_the_slice"),
    _mutant("finish fence without the attempt", "ledger.py",
            'Job.attempt == bindparam("b_attempt")', 'Job.attempt >= 0 * bindparam("b_attempt")',
            f"{_LEDGER}a_late_finish_changes_nothing"),
    _mutant("finish fence without the status", "ledger.py",
            "Job.status == Status.RUNNING.value)\n        .values(started_at=bindparam",
            "Job.status != '')\n        .values(started_at=bindparam",
            f"{_LEDGER}what_does_not_run_can_not_finish"),
    _mutant("give_back without the attempt", "ledger.py",
            "ours = tuple_(Job.id, Job.attempt).in_([(fence.job, fence.attempt) for fence in fences])",
            "ours = Job.id.in_([fence.job for fence in fences])",
            f"{_LEDGER}give_back_leaves_another_attempt_and_what_does_not_run"),
    _mutant("give_back that ignores max_attempts", "ledger.py",
            "Job.attempt >= Job.max_attempts)", "Job.attempt >= 1_000_000)",
            f"{_LEDGER}give_back_makes_running_jobs_pending_and_fails_those_without_an_attempt_left"),
    _mutant("a retry that gets no new attempts", "ledger.py",
            '"max_attempts": Job.attempt + max_attempts', '"max_attempts": max_attempts',
            f"{_LEDGER}a_retried_job_forgets_how_it_ended_and_gets_new_attempts"),
    Mutant("wake without the guard on run_at", (
        Change("jobsched/ledger.py", "Job.status == Status.SCHEDULED.value, Job.run_at <= now)",
               "Job.status == Status.SCHEDULED.value)"),
        Change("jobsched/ledger.py", ".where(Job.id.in_(select(due.c.id)), Job.run_at <= now)",
               ".where(Job.id.in_(select(due.c.id)))"),
    ), (f"tests/{_LEDGER}wake_makes_due_jobs_pending_oldest_first_and_bounded",)),
    Mutant("ids of deleted jobs given again (SQLite)", (
        Change("jobsched/models.py", 'FRESH_IDS = {"sqlite_autoincrement": True}', "FRESH_IDS = {}"),
    ), ("tests/integration/test_models.py::test_the_id_of_a_deleted_row_is_not_given_again",)),
    # From the web to the board
    _mutant("a batch that is committed before its request is answered for", "submit.py",
            '    failpoint("submit.inserted", effect="sql")\n',
            '    session.connection().connection.commit()\n    failpoint("submit.inserted", effect="sql")\n',
            _walk("create", "submit.inserted", "raise")),
    _mutant("a batch of which only the good ones are created", "submit.py",
            "        raise Invalid(errors)\n    if not drafts:",
            "        bad = {e.pointer.rsplit('/', 1)[0] for e in errors}\n"
            "        drafts = {k: d for k, d in drafts.items() if k not in bad}\n    if not drafts:",
            f"{_SUBMIT}one_faulty_draft_keeps_all_out_and_every_fault_has_its_pointer"),
    _mutant("place before the commit", "web/crud.py",
            "answer = idempotency.once(lambda session: self._insert(session, drafts, made))",
            "answer = idempotency.once(lambda session: (self._insert(session, drafts, made), "
            "self._resource.tell(list(made.values())))[0])",
            "integration/test_borders.py"),
    _mutant("an Idempotency-Key that is not unique", "web/idempotency.py",
            "insert(IdempotencyKey).values(key=key, ", "insert(IdempotencyKey).values(key=f'{key}{utcnow()}', ",
            "integration/test_web_idempotency.py::test_a_repeated_job_waits_once"),
    _mutant("NaN and infinities taken for numbers", "web/body.py",
            "    if not math.isfinite(value):\n        raise Malformed(f\"must hold finite",
            "    if value == 0.123456789:\n        raise Malformed(f\"must hold finite",
            "integration/test_web_bad_input.py::test_what_is_not_strict_json_is_refused"),
    _mutant("a job changed although a worker has it", "submit.py",
            "        if outcome < 0:\n", "        if outcome < -1:\n",
            f"{_SUBMIT}a_job_that_was_handed_to_a_worker_can_not_be_changed_or_removed"),
    # The board's scripts
    _mutant("place that does not look whether it knows the job", "board/lua/place.lua",
            "if not (old and known(id, old)) then", "if true then",
            f"{_BOARD}place_counts_the_jobs_that_were_not_there", f"{_BOARD}place_leaves_a_job_in_flight_where_it_is"),
    _mutant("place without the lane's virtual time", "board/lua/lib.lua",
            "if tonumber(v) > tonumber(tag) then", "if false then",
            f"{_ORDER}an_idle_site_joins_at_the_virtual_time_of_the_lane"),
    _mutant("place that does not ring", "board/lua/place.lua", "  ring()\n", "",
            f"{_FLIGHT}place_rings_the_doorbell_once"),
    _mutant("take that reads a line and leaves it", "board/lua/take.lua",
            "call('ZPOPMIN', line)", "call('ZRANGE', line, 0, 0, 'WITHSCORES')",
            f"{_BOARD}take_fills_a_slice_up_to_its_budget"),
    _mutant("take without a lease: what a lost reply strands is lost", "board/lua/take.lua",
            "call('ZADD', key('flight'), exact(now + ARGV[5]), slice)", "",
            f"{_BOARD}a_take_whose_reply_was_lost_strands_its_slice_until_the_lease_ends"),
    _mutant("take that lets the virtual time go back", "board/lua/take.lua",
            "exact(math.max(tag, v))", "exact(tag)",
            f"{_ORDER}the_virtual_time_does_not_go_back_when_a_site_is_served_that_is_behind"),
    _mutant("take that does not charge", "board/lua/take.lua",
            "'tag:' .. band, exact(tag + seconds / weight))", "'tag:' .. band, exact(tag))",
            f"{_ORDER}equal_sites_share_service_in_turn"),
    _mutant("a job that was started before takes neighbours along", "board/lua/take.lua",
            "tonumber(job.attempt) > 0", "false", f"{_REPAIR}jobs_that_were_given_back_go_alone"),
    _mutant("settle that does not release the site's running jobs", "board/lua/settle.lua",
            "call('HINCRBY', key('site', site), 'running', -ended)", "",
            f"{_FLIGHT}settle_ends_a_slice_once"),
    _mutant("settle that does not release the lane's flying jobs", "board/lua/settle.lua",
            "call('HINCRBY', key('lanes'), 'flying:' .. band, -ended)", "",
            f"{_FLIGHT}settle_ends_a_slice_once"),
    _mutant("settle that is not safe to repeat", "board/lua/settle.lua", "call('DEL', record)\n", "",
            f"{_FLIGHT}settle_ends_a_slice_once"),
    _mutant("settle that leaves the estimate", "board/lua/settle.lua",
            "if ARGV[2] ~= '' then charge() end", "",
            f"{_ORDER}settle_charges_what_was_used_in_place_of_the_estimate"),
    _mutant("renew that always says yes", "board/lua/renew.lua", "then return 0 end", "then return 1 end",
            f"{_FLIGHT}renew_refuses_a_slice_that_has_ended"),
    _mutant("drop that ignores what is in flight", "board/lua/drop.lua",
            "outcomes[i] = -1", "call('HDEL', key('jobs'), id)\n    outcomes[i] = 1",
            f"{_FLIGHT}drop_says_what_became_of_each_job"),
    _mutant("a tier crossed that other sites do not hear of", "board/lua/lib.lua",
            "~= tier_weight(user, total - by) then\n    contribute_everywhere(user)\n",
            "~= tier_weight(user, total - by) then\n",
            f"{_COUNTS}a_user_who_crosses_a_tier_changes_the_points_of_all_his_sites"),
    _mutant("a lease by the worker's clock", "board/scripts.py",
            'return "" if self.now is None else repr(self.now)',
            'return repr(__import__("time").time() if self.now is None else self.now)',
            "integration/test_borders.py"),
    # Limits, pauses, another policy
    _mutant("a cap that holds nobody", "board/lua/lib.lua",
            "and tonumber(running or 0) >= tonumber(max_running) then", "and false then",
            f"{_LIMITS}a_site_at_its_cap_is_in_no_lane_until_a_slice_ends"),
    _mutant("a cap that counts slices rather than jobs", "board/lua/take.lua",
            "'running', #ids)", "'running', 1)", f"{_LIMITS}a_cap_bounds_the_jobs_of_one_slice"),
    _mutant("a slice with more jobs than the cap leaves", "board/lua/take.lua",
            "jobs = math.min(jobs, facts[1] - (facts[2] or 0))", "jobs = jobs",
            f"{_LIMITS}a_cap_bounds_the_jobs_of_one_slice"),
    _mutant("a slice with more jobs than the rate leaves", "board/lua/take.lua",
            "return math.min(jobs, 1 + math.floor(early / each + 0.001)), gcra", "return jobs, gcra",
            f"{_LIMITS}a_rate_counts_the_jobs_of_a_slice"),
    _mutant("a rate that forgets what was had", "board/lua/take.lua",
            "call('HSET', key('site', site), 'tat', exact(tat))", "",
            f"{_LIMITS}a_rate_lets_the_burst_go_at_once_and_then_one_at_each_exact_moment"),
    _mutant("a rate that is saved up", "board/lua/take.lua",
            "tat = math.max(facts[5] or now, now)}", "tat = tonumber(facts[5] or now)}",
            f"{_LIMITS}a_rate_that_was_not_used_up_is_not_saved_beyond_the_burst"),
    _mutant("release that does not put the site back", "board/lua/release.lua", "  refresh(site)\n", "",
            f"{_LIMITS}a_rate_lets_the_burst_go_at_once_and_then_one_at_each_exact_moment"),
    _mutant("a held site that has saved up service", "board/lua/lib.lua",
            "if lengths[i] > 0 then join(site, band) end", "",
            f"{_LIMITS}a_site_that_was_held_for_long_has_saved_up_nothing"),
    _mutant("another rate that waits out the old one", "board/lua/site.lua",
            "    call('HDEL', facts, 'tat')\n    call('ZREM', key('due'), site)\n", "",
            f"{_LIMITS}a_limit_that_is_lifted_lets_the_site_go_at_once_and_rings"),
    _mutant("a paused lane that is served", "board/lua/take.lua",
            "if rules['paused:' .. band] then return slices end", "",
            f"{_LIMITS}a_paused_lane_is_not_served_and_the_others_are"),
    _mutant("a clock put back that holds a site for as long", "board/lua/recount.lua",
            "> (burst + 1) / rate then", "> 1e300 then",
            f"{_LIMITS}a_clock_that_was_put_back_holds_a_site_until_it_is_counted_again"),
    _mutant("a dispatcher that oversleeps a site that comes due", "dispatcher.py",
            "            self._next_due_s = self._board.next_due_s()\n", "            pass\n",
            f"{_CONTROLS}a_dispatcher_sleeps_no_longer_than_until_the_next_site_is_due"),
    _mutant("a dispatcher that is woken for a due site when Redis gets round to it", "dispatcher.py",
            "        alarm.start()\n", "",
            f"{_CONTROLS}a_dispatcher_rings_itself_when_a_site_is_due"),
    _mutant("another policy that leaves the lines as they are", "board/core.py",
            'changed = self._rescore("jobs", "jobs")', "changed = 0",
            f"{_POLICY}a_line_is_served_in_the_order_of_the_new_policy"),
    _mutant("another policy that leaves the lanes as they are", "board/core.py",
            'changed += self._rescore("sites", "points")', "changed += 0",
            f"{_POLICY}all_that_waits_is_scored_by_the_new_policy"),
    _mutant("another policy that gives credit for what was missed", "board/lua/rescore.lua",
            "for _, band in ipairs(bands) do join(ARGV[i], band) end", "",
            f"{_POLICY}what_a_site_missed_under_the_old_policy_is_no_credit_under_the_new"),
    _mutant("a pass that ends the pass of a later policy", "board/lua/rescore.lua",
            "if rules.rescoring == ARGV[2] then", "if true then",
            f"{_POLICY}the_end_of_a_pass_is_not_that_of_a_later_policys"),
    _mutant("a pass that only the last who began it can end", "board/core.py",
            "if rules.fingerprint != print_:", "if rules.fingerprint != print_ or token:",
            f"{_POLICY}a_pass_is_over_when_anybody_has_made_it"),
    _mutant("a pass that was cut off and stays so", "board/core.py",
            "        if token is None:\n", "        if rules.fingerprint == print_:\n",
            f"{_POLICY}a_pass_that_was_cut_off_is_made_again_by_the_next_call"),
    _mutant("a board of another shape taken for ours", "board/lua/lib.lua",
            "if rules.shape ~= SHAPE then", "if false then", f"{_POLICY}a_board_of_another_shape_is_a_lost_one"),
    _mutant("a board built again without the limits of sites", "repair.py",
            "            self._board.tell_sites(SiteFacts(*row) for row in session.execute(select(*SITE_FACTS)))\n", "",
            f"{_CONTROLS}a_board_that_is_built_again_goes_by_what_was_set"),
    _mutant("a board built again without the pauses of lanes", "controls.py",
            "settings.tiers)\n    board.pause_lanes(paused)\n", "settings.tiers)\n",
            f"{_CONTROLS}a_board_that_is_built_again_goes_by_what_was_set"),
    _mutant("a sweep that does not tell what was set", "repair.py",
            "changed = controls.remind(self._board, self._settings)", "changed = 0",
            f"{_CONTROLS}a_sweep_tells_the_board_what_it_missed"),
    # Dispatcher and worker
    _mutant("no sweep", "dispatcher.py", "            self._sweeper.sweep()\n", "            pass\n",
            "integration/test_dispatcher.py::test_it_sweeps_no_more_often_than_it_should"),
    _mutant("a lost slice that is not put back", "runner.py",
            "        board.adopt(self._slice, self._started, lease_s)\n", "",
            f"{_RUNNER}a_slice_that_the_board_forgot_is_put_back_while_it_runs"),
    _mutant("a task that goes on after its slice was taken back", "lease.py",
            "            signal.pthread_kill(self._main, signal.SIGUSR1)\n", "            pass\n",
            f"{_RUNNER}a_task_whose_slice_was_taken_back_is_stopped"),
    _mutant("a time limit that except Exception swallows", "lease.py",
            "class TimeLimitExceeded(BaseException)", "class TimeLimitExceeded(Exception)",
            f"{_OVERRUNS}a_task_is_stopped_at_its_limit"),
    _mutant("an overrun that except Exception swallows", "lease.py",
            "class Overrun(BaseException):", "class Overrun(Exception):",
            f"{_OVERRUNS}a_start_that_overruns_is_put_into_the_next_lane_and_its_neighbours_are_left_alone"),
    _mutant("an overrun that costs an attempt", "ledger.py",
            '"b_more": int(not o.counts)', '"b_more": 0',
            f"{_BANDS}an_overrun_waits_in_its_new_band_and_costs_an_attempt_only_when_it_counts"),
    _mutant("an overrun of work that must not repeat which costs none", "outcomes.py",
            "counts=not start.may_repeat)", "counts=False)",
            f"{_OVERRUNS}work_that_must_not_repeat_makes_the_overrun_an_attempt"),
    _mutant("a job that overran and waits for the sweep", "runner.py",
            "        self._now.board.place(waiting)\n", "",
            f"{_OVERRUNS}a_start_that_overruns_is_put_into_the_next_lane_and_its_neighbours_are_left_alone"),
    _mutant("a job that overran and is sent back when the board is built", "ledger.py",
            "Job.band != band.name, not_(demoted))", "Job.band != band.name)",
            f"{_BANDS}a_job_that_overran_is_not_sent_back_into_its_first_band"),
    _mutant("a lost lease that except Exception swallows", "lease.py",
            "class LeaseLost(BaseException)", "class LeaseLost(Exception)",
            f"{_RUNNER}a_task_that_catches_every_exception_is_stopped_as_well"),
    _mutant("a lease that is not renewed while a task runs", "lease.py",
            "if not self.lost and now >= renew_at:", "if not self.lost and renew_at == 0:",
            f"{_RUNNER}the_lease_is_renewed_for_as_long_as_a_task_runs"),
    _mutant("workers that run any function", "lanes.py",
            "self.func_name not in (RUN_SLICE, WAKE, TIDY)", "self.func_name is None",
            "integration/test_lanes.py::test_any_other_function_is_refused"),
    _mutant("a child that outlives its worker", "workers.py",
            "        processes.die_with_parent(self._pid)\n", "",
            "integration/test_workers.py::test_a_killed_supervisor_leaves_no_worker",
            "integration/test_workers.py::test_a_job_of_a_killed_process_runs_again_and_is_completed_once"),
    # The sweep
    _mutant("an expired lease that is not settled", "repair.py",
            "            self._board.settle(slice_id, None)\n", "",
            f"{_REPAIR}a_job_of_a_silent_worker_is_given_back_and_runs_again"),
    _mutant("an expired lease whose jobs are not given back", "repair.py",
            "                ledger.give_back(session, ledger.running_in(session, slice_id, jobs), SILENT)\n", "",
            f"{_REPAIR}a_job_of_a_silent_worker_is_given_back_and_runs_again"),
    _mutant("slices taken back while they wait in their queue", "repair.py",
            "lanes.waits_in_queue(self._redis, bands[band], slice_id)", "False",
            f"{_REPAIR}a_slice_that_still_stands_in_its_queue_is_kept"),
    _mutant("running jobs taken from workers that have a lease", "repair.py",
            "if fence.job not in carried", "if fence",
            f"{_REPAIR}a_job_that_runs_in_a_slice_is_left_alone_for_however_long"),
    _mutant("running jobs taken from workers by a new board", "repair.py",
            "if self._board.age_s() < self._settings.lease_s:", "if self._board.age_s() < 0:",
            f"{_REPAIR}a_new_board_leaves_workers_a_lease_of_time_to_put_their_slices_back"),
    _mutant("orphans that nobody gives back", "repair.py",
            "back, spent = ledger.give_back(session, orphans, SILENT)", "back, spent = 0, 0",
            f"{_REPAIR}a_job_that_nobody_carries_is_given_back"),
    _mutant("pending jobs that nobody places", "repair.py",
            "        placed = self._board.place(jobs)\n", "        placed = 0\n",
            f"{_REPAIR}a_pending_job_that_the_board_does_not_know_is_placed"),
    _mutant("a lost board that stays lost", "repair.py",
            'log.warning("no whole board in Redis: building it from SQL")\n        return self._build()',
            'log.warning("no whole board in Redis: building it from SQL")\n        return 0',
            f"{_REPAIR}a_lost_board_is_built_again_whole"),
    _mutant("a killed sweeper that keeps the others out for a minute", "repair.py",
            "LOCK_S = 3.0", "LOCK_S = 60.0",
            "integration/test_sole.py::test_a_killed_sweeper_keeps_the_others_out_for_a_few_seconds_only"),
)
