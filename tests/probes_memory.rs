//! Targets that send without end must not make the prober grow, and are hung up on at once. A test of its own, since it looks at the memory of the
//! whole process.

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/fault_target.rs"]
mod fault_target;
#[path = "support/probing.rs"]
mod probing;

use std::time::{Duration, Instant};

use pointsman::health::Settings;
use pointsman::steer::observation::Stage;
use pointsman::steer::policy::Scheme;

use certificates::Authority;
use fault_target::FaultTarget;
use probing::{PATIENCE, Probing, apart, at, fault};

/// Growth that is allowed, in KiB: eight probes in flight, each with at most 400 KiB of headers or 64 KiB of body, and
/// what the targets hold themselves.
const ALLOWED: u64 = 48 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_answers_do_not_grow_memory() {
    let authority = Authority::new();
    let settings = Settings { in_flight: Some(8), extra_ca: vec![authority.file.clone()], ..Settings::default() };
    let mut probing = Probing::start(settings);
    let warm = FaultTarget::http("200").await;
    probing.outcome_of(at("warm", Scheme::Http, warm.address)).await;
    let before = memory("VmRSS");
    let modes = ["endless-headers", "endless-body", "endless-chunks", "huge-header", "gzip-bomb", "huge-body"];
    for (scheme, alpn) in [(Scheme::Http, None), (Scheme::Https, Some("http/1.1"))] {
        for mode in modes {
            let tls = alpn.map(|protocol| authority.server_with_alpn(&[protocol]));
            let target = FaultTarget::start("127.0.0.1:0", mode, tls).await;
            probe_16_times(&mut probing, scheme, mode, &target).await;
        }
    }
    let grown = memory("VmHWM").saturating_sub(before);
    assert!(grown < ALLOWED, "grown by {grown} KiB");
}

async fn probe_16_times(probing: &mut Probing, scheme: Scheme, mode: &str, target: &FaultTarget) {
    let name = format!("{scheme:?}-{mode}");
    let plans = (0..16).map(|number| {
        let mut plan = apart(at(&format!("{name}-{number}"), scheme, target.address));
        plan.probe.body = Some("ok".to_owned());
        plan.probe.timeout = Duration::from_secs(30);
        plan
    });
    probing.plan(plans.collect()).await;
    let mut left = 16;
    while left > 0 {
        let observation = probing.observation().await;
        if observation.candidate.candidate.starts_with(&name) {
            let fault = fault(observation.outcome);
            assert!(matches!(fault.stage, Stage::Body | Stage::Status), "{name}: {fault:?}");
            left -= 1;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while target.open().0 > 0 {
        assert!(Instant::now() < deadline, "{name}: {} connections are left", target.open().0);
        tokio::task::yield_now().await;
    }
}

/// A line of `/proc/self/status`, in KiB.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let number = found.and_then(|text| text.split_whitespace().next()).expect("the line");
    number.parse().expect("a number")
}
