//! The layout of messages of one sort, as a line of the report.

use std::fmt::Write as _;

use ssm_session::{DigestOf, Layout};

use super::record::Extent;

/// The layout of messages of one sort, but for their type.
pub(super) fn layout(layout: &Layout, extent: &Extent) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let padding = match layout.padding {
        Some(0) => "NUL".to_owned(),
        Some(b' ') => "spaces".to_owned(),
        Some(byte) => byte.to_string(),
        None => "none".to_owned(),
    };
    let digest = match layout.digest {
        DigestOf::Payload => "of the payload",
        DigestOf::Zeros => "zeros",
        DigestOf::Nothing => "of nothing",
        DigestOf::Other => "of something else",
    };
    let mut text = format!(
        "padding {padding}; header {}; schema {}; {}; flags {}; payload type {}; payload {}; frame {}; \
         digest {digest}",
        number(layout.header_length.map(u64::from)),
        number(layout.schema.map(u64::from)),
        if layout.is_dated { "dated" } else { "date 0" },
        number(layout.flags),
        number(layout.payload_type.map(u64::from)),
        range(extent.payload.0, extent.payload.1),
        range(extent.frame.0, extent.frame.1),
    );
    if layout.payload_length.is_some() || layout.rest.is_some() {
        let rest = number(layout.rest.and_then(|rest| u64::try_from(rest).ok()));
        let _ = write!(text, "; {rest} bytes follow a length of {}", number(layout.payload_length.map(u64::from)));
    }
    text
}

fn range<T: PartialEq + std::fmt::Display>(least: T, most: T) -> String {
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}
