//! Answers: what a run shows of each thing that the page on the protocol calls not known.

use std::collections::BTreeSet;
use std::ops::Deref;

use ssm_session::{Direction, LargerMessages};

use super::layout::layout;
use super::record::{Happened, Record};

/// The service's own messages.
const OF_THE_SERVICE: [&str; 3] = ["start_publication", "pause_publication", "channel_closed"];

/// One line for each thing, in the order of the page.
pub(super) fn answers(records: &[impl Deref<Target = Record>]) -> Vec<String> {
    let mut answers: Vec<String> = OF_THE_SERVICE.iter().map(|name| layouts(records, name)).collect();
    answers.extend([
        unknown_types(records),
        pauses(records),
        larger(records),
        limit(records),
        closes(records),
        rates(records),
    ]);
    answers.push("whether a ping counts as use: not tried, since the idle limit is 20 minutes as a rule".to_owned());
    answers
}

fn layouts(records: &[impl Deref<Target = Record>], name: &str) -> String {
    let mut seen = BTreeSet::new();
    for record in records {
        let sorts = record.sorts.iter().filter(|((way, sort), _)| *way == Direction::FromService && sort.name == name);
        seen.extend(sorts.map(|((_, sort), extent)| layout(sort, extent)));
    }
    match seen.is_empty() {
        true => format!("layout of {name}: none came"),
        false => format!("layout of {name}: {}", seen.into_iter().collect::<Vec<_>>().join(" | ")),
    }
}

/// Types that the page does not have.
fn unknown_types(records: &[impl Deref<Target = Record>]) -> String {
    let known = ["output_stream_data", "acknowledge"];
    let from_service = records.iter().flat_map(|record| record.sorts.keys());
    let names: BTreeSet<&str> = from_service
        .filter(|(way, _)| *way == Direction::FromService)
        .map(|(_, sort)| sort.name.as_str())
        .filter(|name| !known.contains(name) && !OF_THE_SERVICE.contains(name))
        .collect();
    match names.is_empty() {
        true => "other types of messages: none came".to_owned(),
        false => format!("other types of messages: {}", names.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

fn pauses(records: &[impl Deref<Target = Record>]) -> String {
    let all = || records.iter().flat_map(|record| &record.pauses.all);
    let taken_back = all().filter(|pause| pause.taken_back.is_some()).count();
    let acknowledged = all().filter(|pause| pause.acknowledged.is_some()).count();
    format!(
        "what ends a pause: {} pauses; start_publication came in {taken_back}, an acknowledgement in {acknowledged}",
        all().count()
    )
}

fn larger(records: &[impl Deref<Target = Record>]) -> String {
    let answer = match records.iter().find_map(|record| record.larger) {
        Some(LargerMessages::Taken) => "taken",
        Some(LargerMessages::Asked) => "one was sent, and not answered",
        Some(LargerMessages::GivenUp) => {
            "not taken: the service objected, or the agent is one with which none is tried"
        }
        Some(LargerMessages::Untried) => "not tried: the way is too slow",
        None => "not tried: there was no upload",
    };
    format!("messages of 1536 bytes: {answer}")
}

fn limit(records: &[impl Deref<Target = Record>]) -> String {
    let sizes = records.iter().flat_map(|record| &record.sorts);
    let sizes = sizes.filter(|((way, sort), _)| *way == Direction::ToService && sort.name == "input_stream_data");
    let largest = sizes.map(|(_, extent)| extent.payload.1).max().unwrap_or_default();
    format!("largest payload to the service: {largest} bytes; larger ones are not tried, since they end sessions")
}

fn closes(records: &[impl Deref<Target = Record>]) -> String {
    let codes: BTreeSet<u16> = records
        .iter()
        .flat_map(|record| &record.happened)
        .filter_map(|(_, happened)| if let Happened::Lost(code, _) = happened { *code } else { None })
        .collect();
    match codes.is_empty() {
        true => "close codes of the service: none came".to_owned(),
        false => {
            let codes: Vec<_> = codes.into_iter().map(|code| code.to_string()).collect();
            format!("close codes of the service: {}", codes.join(", "))
        }
    }
}

fn rates(records: &[impl Deref<Target = Record>]) -> String {
    let fullest = |rate: fn(&Record) -> usize| records.iter().map(|record| rate(record)).max().unwrap_or_default();
    let to_service = fullest(|record| record.to_service.fullest);
    let from_service = fullest(|record| record.from_service.fullest);
    format!("messages in the fullest second of a connection: {to_service} to the service, {from_service} from it")
}
