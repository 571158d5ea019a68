//! Sessions that are encrypted by KMS.

use serde_json::json;

use super::{Started, encrypting, plugin, with};

/// What the agent has said to the user.
const NOTICE: &str = "This session is encrypted using AWS KMS.";

#[test]
fn the_notice_begins_a_line_of_its_own_on_a_raw_terminal() {
    let bench = with(encrypting());
    let started = Started::shell(&bench);
    let mut terminal = started.join(&bench).env("AWS_ENDPOINT_URL_KMS", bench.server().endpoint()).on_terminal(24, 80);
    let behind = |bytes: &[u8]| {
        let at = bytes.windows(NOTICE.len()).position(|piece| piece == NOTICE.as_bytes())? + NOTICE.len();
        bytes.get(at..at + 2).map(<[u8]>::to_vec)
    };
    assert_eq!(terminal.wait("the notice", behind), b"\r\n");
    terminal.press("exit\r");
    terminal.expect("Exiting session with sessionId: ");
    assert!(terminal.finish().success());
    bench.finish();
}

#[test]
fn without_the_target_no_key_is_asked_for() {
    let bench = with(encrypting());
    for more in [&[][..], &[""], &["", &json!({}).to_string()]] {
        let started = Started::shell(&bench);
        let response = started.response.to_string();
        let call = plugin(&bench).args([&response, bench.server().region(), "StartSession"]).args(more);
        let done = call.env("AWS_ENDPOINT_URL_KMS", bench.server().endpoint()).run().ok();
        let said = "Cannot perform start session: Installed version of CLI does not support Session Manager encryption \
            feature. Please upgrade to the latest version of your CLI (e.g., AWS CLI).\n";
        assert_eq!(done.text(), format!("{}{said}", started.greeting()));
        assert!(done.stderr.contains("pass its request of StartSession as the fifth argument"), "{done}");
    }
    let report = bench.finish();
    assert_eq!(report.calls_of("GenerateDataKey"), 0);
}
