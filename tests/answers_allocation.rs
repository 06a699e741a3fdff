//! Answers allocate nothing: counted by the allocator itself.
#![allow(unsafe_code)] // An allocator cannot be had without; it only counts and hands on.

#[path = "support/steered.rs"]
mod by_hand;
#[path = "support/answers.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use by_hand::{select, steered, whole};
use pointsman::image::areas::{Areas, Countries, Sets};
use pointsman::image::by_area::ForArea;
use pointsman::image::published::{FlattenedSet, FlattenedSets};
use pointsman::image::{MAX_UDP, Reply, Settings, Transport, answer};
use pointsman::steer::policy::{Shape, Sticky};
use support::{published, query, with_edns, zone};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ZONE: &str = "@ 60 SOA ns h 1 1 1 1 5\n@ 60 NS ns\nns 60 A 192.0.2.1\nwww 60 A 192.0.2.2\n*.w 60 A 192.0.2.4\n\
                    to 60 CNAME www\nd 60 DNAME w\nc 60 NS ns.c\nns.c 60 A 192.0.2.3\n";

#[test]
fn no_answer_allocates() {
    let zone = zone(
        "s.test.",
        ZONE,
        vec![
            steered("cn.s.test.", "s.test.", Shape::Cname, Sticky::Yes, &["a.example."]),
            steered("app.s.test.", "s.test.", Shape::Addresses, Sticky::Yes, &["192.0.2.10,2001:db8::10"]),
            steered("flat.s.test.", "s.test.", Shape::Flattened, Sticky::Yes, &["a.example."]),
        ],
    );
    let mut published = published(&[zone], &[], &Settings::default());
    select(&mut published, vec![whole(0, 1, 30, None), whole(0, 1, 30, None), whole(0, 1, 30, None)]);
    let sets = Sets::with([("east".into(), vec!["192.0.2.0/24".parse().expect("a prefix")])]);
    let areas = Areas::build(&sets, &Countries::default()).expect("few areas").with_networks(&sets, |_| true);
    let addresses = |text: &str| vec![text.parse().expect("an address")];
    let of = areas.networks()[0].clone();
    let set = FlattenedSet {
        addresses: addresses("203.0.113.1"),
        ttl: 60,
        service: None,
        honours_subnets: Some(true),
        by_area: None,
    };
    let of_area = ForArea { of, addresses: addresses("203.0.113.2"), ttl: 20 };
    let set = set.with_areas(areas.networks(), &[of_area], (&[], 0));
    published.areas = Arc::new(areas);
    published.flattened = Arc::new(FlattenedSets(vec![vec![], vec![], vec![Some(Arc::new(set))]]));
    let client = "192.0.2.1".parse().expect("an address");
    let mut out = [0; MAX_UDP];
    for (what, qname, qtype) in [
        ("ordinary", "www.s.test.", 1),
        ("NODATA", "www.s.test.", 16),
        ("NXDOMAIN", "nx.s.test.", 1),
        ("wildcard", "x.w.s.test.", 1),
        ("chain", "to.s.test.", 1),
        ("DNAME", "x.d.s.test.", 1),
        ("referral", "x.c.s.test.", 1),
        ("steered CNAME", "cn.s.test.", 1),
        ("steered addresses", "app.s.test.", 28),
        ("flattened by area", "flat.s.test.", 1),
        ("REFUSED", "example.", 1),
    ] {
        for query in [query(qname, qtype), with_edns(query(qname, qtype), 1232, 0, &[])] {
            let before = COUNT.with(Cell::get);
            let reply = answer(&published, &query, client, Transport::Udp, 1, &mut out);
            let after = COUNT.with(Cell::get);
            assert!(matches!(reply, Reply::Message { len, .. } if len > 12));
            assert_eq!(after - before, 0, "{what}");
        }
    }
    let before = COUNT.with(Cell::get);
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(COUNT.with(Cell::get) - before, 1, "the count counts");
}
