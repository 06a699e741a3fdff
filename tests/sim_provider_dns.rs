//! The providers' simulated DNS, asked with real messages.

#[path = "support/sim.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use pointsman::sim::ask::{Answer, ask};
use pointsman::sim::internet::Internet;
use pointsman::sim::mode::Mode;
use pointsman::sim::provider_dns::TTL;
use pointsman::steer::provider::Providers;
use support::{steered, to};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn internet() -> Internet {
    let names = [
        steered("www.shop.example.", "open", &[("bunny", to("shop.b-cdn.net.")), ("ovh", to("www.cdn.anycast.me."))]),
        // One target below another, and a zone of two providers.
        steered(
            "img.shop.example.",
            "open",
            &[("bunny", to("img.shop.b-cdn.net.")), ("fastly", to("shop.fastly.net."))],
        ),
    ];
    Internet::start(&names, &Providers::known()).await.expect("it starts")
}

async fn question(internet: &Internet, name: &str, rtype: RecordType) -> Answer {
    ask(internet.dns.address(), IpAddr::from(Ipv4Addr::LOCALHOST), name, rtype).await.expect("an answer")
}

#[tokio::test]
async fn every_target_resolves_to_its_providers_edges() {
    let internet = internet().await;
    for player in &internet.cast.players {
        for target in &player.targets {
            let answer = question(&internet, target, RecordType::A).await;
            assert_eq!(answer.rcode, ResponseCode::NoError, "{target}");
            let mut data: Vec<_> = answer.records.iter().map(|record| record.data.clone()).collect();
            data.sort();
            let addresses: Vec<_> = player.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(data, addresses, "{target}");
            assert!(answer.records.iter().all(|record| record.ttl == TTL));
            // There is no IPv6 here, and the answer says so without an error.
            let answer = question(&internet, target, RecordType::AAAA).await;
            assert_eq!((answer.rcode, answer.records.len()), (ResponseCode::NoError, 0), "{target}");
        }
    }
    assert_eq!(question(&internet, "other.b-cdn.net.", RecordType::A).await.rcode, ResponseCode::NXDomain);
    assert_eq!(question(&internet, "www.shop.example.", RecordType::A).await.rcode, ResponseCode::Refused);
}

#[tokio::test]
async fn a_providers_dns_fails_alone_and_comes_back() {
    let internet = internet().await;
    for (mode, rcode) in [
        (Mode::Servfail, ResponseCode::ServFail),
        (Mode::Nxdomain, ResponseCode::NXDomain),
        (Mode::Status(500), ResponseCode::NoError),
        (Mode::Right, ResponseCode::NoError),
    ] {
        internet.modes.put("bunny", mode).expect("it plays");
        for target in ["shop.b-cdn.net.", "img.shop.b-cdn.net.", "SHOP.b-cdn.NET."] {
            assert_eq!(question(&internet, target, RecordType::A).await.rcode, rcode, "{mode} {target}");
        }
        for target in ["www.cdn.anycast.me.", "shop.fastly.net."] {
            assert_eq!(
                question(&internet, target, RecordType::A).await.rcode,
                ResponseCode::NoError,
                "{mode} {target}"
            );
        }
    }
}

#[tokio::test]
async fn tcp_answers_as_udp_does() {
    let internet = internet().await;
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii("shop.b-cdn.net.").expect("a name"), RecordType::A));
    let octets = message.to_vec().expect("octets");
    let exchange = async {
        let mut stream = TcpStream::connect(internet.dns.address()).await.expect("a connection");
        stream.write_u16(octets.len().try_into().expect("short")).await.expect("sent");
        stream.write_all(&octets).await.expect("sent");
        let mut answer = vec![0; stream.read_u16().await.expect("a length").into()];
        stream.read_exact(&mut answer).await.expect("a message");
        Message::from_vec(&answer).expect("a good message")
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), exchange).await.expect("in time");
    assert_eq!(answer.answers.len(), 2);
}
