//! The workload of allocations: made, kept, refreshed, deleted.

use super::campaign::Campaign;
use super::client::Request;
use super::meter::Meter;
use super::report::{Allocations, Body, Phase, Report};
use std::time::Instant;

/// Runs it. If it fails, what was made is deleted all the same.
pub(super) fn run(campaign: &mut Campaign) -> Result<Report, String> {
    phases(campaign).inspect_err(|_| campaign.delete())
}

/// Runs one phase after the other.
fn phases(campaign: &mut Campaign) -> Result<Report, String> {
    campaign.open()?;
    let before = campaign.resident()?;
    let made = phase(campaign, Request::Allocate, "allocated")?;
    let hold = campaign.plan.options.hold;
    if !hold.is_zero() {
        campaign.progress.hint(&format!("{} allocations are held", made.done));
        campaign.progress.during(|| std::thread::sleep(hold));
    }
    let after = campaign.resident()?;
    let refreshed = phase(campaign, Request::Refresh, "refreshed")?;
    let deleted = phase(campaign, Request::Delete, "deleted")?;
    let each = |(before, after): (u64, u64)| after.saturating_sub(before) as f64 / made.done.max(1) as f64;
    let memory = before.zip(after).map(|pair| (pair.0, pair.1, each(pair)));
    let body = Body::Allocations(Box::new(Allocations { made, refreshed, deleted, memory }));
    Ok(Report::new(&campaign.plan, body))
}

/// Sends all clients on an errand and says what came of it.
fn phase(campaign: &mut Campaign, request: Request, name: &'static str) -> Result<Phase, String> {
    let (meter, began) = (Meter::start(campaign.plan.options.pid)?, Instant::now());
    campaign.progress.hint(&format!("{} clients: allocations are {name}", campaign.plan.options.clients));
    let tally = campaign.drive(request, false)?;
    let time = began.elapsed();
    let spent = meter.spent(time.as_secs_f64(), tally.done)?;
    let phase = Phase::new(name, time, tally, spent);
    campaign.progress.say(&format!("{name}: {} in {:.2} s, {} failed", phase.done, phase.seconds, phase.failed()));
    Ok(phase)
}
