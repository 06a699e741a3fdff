//! The store's metrics, as an exporter shows them. Alone in its binary: a process has one recorder.

#![allow(clippy::unwrap_used, reason = "a test ends that way")]

#[path = "support/store.rs"]
mod support;

use metrics_exporter_prometheus::PrometheusBuilder;
use pointsman::store::kept::Write;
use pointsman::store::{OpenState, Settings, StoreError};
use support::*;

#[test]
fn metrics_tell_of_writes_and_drops() {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let value = |name: &str| -> Option<f64> {
        let rendered = recorder.render();
        rendered.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let scratch = tempfile::tempdir().unwrap();
    let settings = Settings::new(scratch.path().join("store"));
    let store = pointsman::store::open(settings.clone(), NOW).store;
    runtime().block_on(async {
        for generation in 1..=3 {
            store.write(vec![Write::Generation(generation)]).await.unwrap();
        }
        store.post(vec![Write::Decision("a.".to_owned(), large(0, 2_000_000))]).unwrap();
        store.write(vec![Write::Generation(4)]).await.unwrap();
        assert_eq!(value("pointsman_store_writes_total"), Some(4.0));
        assert_eq!(value("pointsman_store_dropped_total"), Some(1.0));
        assert!(value("pointsman_store_write_seconds_count").is_some_and(|count| (1.0..=4.0).contains(&count)));
        let second = pointsman::store::open(settings, NOW);
        assert_eq!(second.state, OpenState::InUse);
        assert!(matches!(second.store.post(vec![]), Err(StoreError::Gone(_))));
        assert_eq!(value("pointsman_store_dropped_total"), Some(2.0));
        assert_eq!(value("pointsman_store_ok"), None, "the API tells it at each scrape; twice would break the format");
    });
}
