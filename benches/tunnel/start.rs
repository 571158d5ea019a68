//! Goal 1: from exec to StartSession on the wire, and what that costs.

use std::io;
use std::time::{Duration, Instant};

use fixtures::standin::fault::ApiFault;
use fixtures::standin::{ApiRule, Options};

use crate::client::Client;
use crate::far::Far;
use crate::rig::{Rig, Scene, Subject};
use crate::stats::Samples;
use crate::table::Row;

const LIMIT: Duration = Duration::from_secs(30);

/// Start-ups of each program; the first of each is a warm-up.
pub(crate) fn measure(subject: &Subject, quick: bool) -> io::Result<Vec<Row>> {
    let runs = if quick { 7 } else { 31 };
    // The answer is held back, so that nothing after the request is counted.
    let held = ApiRule {
        operation: "StartSession".to_owned(),
        fault: ApiFault::Slow(Duration::from_millis(300)),
        skip: 0,
        times: u32::MAX,
    };
    let standin = Options { api_rules: vec![held], ..Options::default() };
    let (far, _) = Far::Takes.listen()?;
    let rig = Rig::new(Scene { standin, tls: true, ..Scene::default() }, far)?;
    let (mut ours, mut least) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        ours.push(start(&rig, subject, &subject.paced)?);
        least.push(start(&rig, subject, "reference start")?);
    }
    let times = |starts: &[(Duration, Duration)]| Samples::milliseconds(starts.iter().skip(1).map(|start| start.0));
    let costs = |starts: &[(Duration, Duration)]| Samples::milliseconds(starts.iter().skip(1).map(|start| start.1));
    let (time, cost) = (times(&ours), costs(&ours));
    let (least_time, least_cost) = (times(&least), costs(&least));
    let ratio = time.median() / least_time.median();
    Ok(vec![
        Row::new("1 start", "exec to StartSession on the wire, TLS", format!("{:.1} ms", time.median()))
            .spread(time.spread(1))
            .baseline(format!("{:.1} ms minimal program", least_time.median()))
            .ratio(ratio)
            .target("3 x or less", ratio <= 3.0),
        Row::new("1 start", "CPU until then", format!("{:.1} ms", cost.median()))
            .spread(cost.spread(1))
            .baseline(format!("{:.1} ms minimal program", least_cost.median()))
            .ratio(cost.median() / least_cost.median())
            .target("15 ms or less", cost.median() <= 15.0),
    ])
}

/// Time and processor time from exec to the request's arrival.
fn start(rig: &Rig, subject: &Subject, line: &str) -> io::Result<(Duration, Duration)> {
    let before = rig.server.report().calls.len();
    let client = Client::start(rig.command(subject, line))?;
    let arrived = |calls: usize| rig.server.wait_for(LIMIT, |report| report.calls.len() > calls);
    if !arrived(before) {
        return Err(io::Error::other("no request for StartSession came"));
    }
    let cpu = client.usage().cpu;
    let started = client.started();
    let at: Option<Instant> = rig.server.report().calls.get(before).map(|call| call.arrived);
    let time = at.map(|at| at - started).unwrap_or_default();
    Ok((time, cpu))
}
