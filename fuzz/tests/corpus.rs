//! Replays the corpus without an engine, a sanitizer or a nightly toolchain.

use std::fs;

/// One test and not two: memory is counted over the whole process.
#[test]
fn the_corpus_keeps_the_promises() {
    let targets = [
        ("message", ssm_proxy_fuzz::message::run as fn(&[u8])),
        ("handle_frame", ssm_proxy_fuzz::session::run),
        ("smux", ssm_proxy_fuzz::smux::run),
        ("bond", ssm_proxy_fuzz::bond::run),
        ("handshake", ssm_proxy_fuzz::handshake::run),
        ("encryption", ssm_proxy_fuzz::encryption::run),
    ];
    for (target, run) in targets {
        let mut inputs = 0;
        for entry in fs::read_dir(format!("corpus/{target}")).unwrap() {
            let path = entry.unwrap().path();
            eprintln!("{}", path.display());
            run(&fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{target} has no corpus");
    }
}
