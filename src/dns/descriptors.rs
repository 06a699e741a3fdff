//! How many connections the limit of open files leaves room for.
//!
//! The soft limit is raised to what `connections` needs, as far as the hard one goes. Beyond that fewer connections are held, and the log says so:
//! a server that runs out of descriptors could not probe or read its zones either.

/// Descriptors for all but TCP connections: probes, the API, the store, zone files.
const OTHERS: u64 = 1024;

/// How many of the wanted connections may be open at once.
pub(super) fn make_room(connections: usize) -> usize {
    let needed = connections as u64 + OTHERS;
    let limit = match rlimit::getrlimit(rlimit::Resource::NOFILE) {
        Ok((soft, hard)) if soft < needed => raise(needed.min(hard), hard).unwrap_or(soft),
        Ok((soft, _)) => soft,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be read");
            return connections;
        }
    };
    let room = room(connections, limit);
    if room < connections {
        tracing::warn!(
            connections,
            room,
            limit,
            "the limit of open files is too low for `connections`: fewer are held (systemd: LimitNOFILE={needed})"
        );
    }
    room
}

fn raise(soft: u64, hard: u64) -> Option<u64> {
    match rlimit::setrlimit(rlimit::Resource::NOFILE, soft, hard) {
        Ok(()) => Some(soft),
        Err(error) => {
            tracing::warn!(%error, soft, "the limit of open files cannot be raised");
            None
        }
    }
}

/// The others come first, but with few descriptors they share with the connections.
fn room(connections: usize, limit: u64) -> usize {
    let room = limit.saturating_sub(OTHERS).max(limit / 2);
    connections.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_keep_their_descriptors() {
        for (connections, limit, expected) in [
            (1000, 2024, 1000),
            (3000, 3000, 1976),
            (15_000, 20_000, 15_000),
            (1000, 40, 20),
            (1000, 0, 1),
            (5, u64::MAX, 5),
        ] {
            assert_eq!(room(connections, limit), expected, "{connections} connections, {limit} descriptors");
        }
    }
}
