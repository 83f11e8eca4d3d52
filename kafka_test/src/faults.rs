//! Ways in which a pg_kafka dies, and how it comes back.

use crate::patience::eventually;
use crate::process::kill_at_once;
use crate::server::{run, Server};
use crate::sql::{session, try_session};
use std::time::Instant;

/// A way to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the broker's background worker: Postgres restarts all its processes and recovers.
    KillBroker,
    /// `pg_ctl stop -m immediate`, and a start.
    ImmediateShutdown,
    /// kill -9 of the postmaster, and a start.
    KillPostmaster,
    /// `pg_terminate_backend` of the broker, which comes back alone.
    TerminateBroker,
    /// Changed listen addresses and a reload, which closes all connections; nothing dies.
    CutConnections,
}

impl Fault {
    /// Every fault by which something dies without being asked, in the order in which tests go through them.
    pub const ALL: [Fault; 3] = [Fault::KillBroker, Fault::ImmediateShutdown, Fault::KillPostmaster];

    /// Every fault.
    pub const MIXED: [Fault; 5] = [
        Fault::CutConnections,
        Fault::KillBroker,
        Fault::TerminateBroker,
        Fault::ImmediateShutdown,
        Fault::KillPostmaster,
    ];

    /// Lets it happen, brings Postgres back as an operator would, and returns the moment at which Postgres accepts connections again.
    pub fn strike(self, server: &Server) -> Instant {
        match self {
            Fault::KillBroker => {
                let broker = server.broker_pid();
                kill_at_once(broker);
                // The postmaster needs a moment to see it; until then sessions are still accepted.
                eventually("Postgres noticed that its broker died", || {
                    try_session(server).map_or(Some(()), |mut s| {
                        let rows = s.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", &[&broker]);
                        rows.map_or(Some(()), |r| r.is_empty().then_some(()))
                    })
                });
            }
            Fault::ImmediateShutdown => {
                let mut command = server.cluster("stop");
                command.args(["--mode", "immediate"]);
                run(command);
                server.start_again();
            }
            Fault::KillPostmaster => {
                kill_at_once(server.postmaster_pid());
                server.start_again();
            }
            Fault::TerminateBroker => {
                let broker = server.broker_pid();
                let gone = "SELECT pg_terminate_backend($1, 10000)";
                session(server)
                    .query(gone, &[&broker])
                    .unwrap_or_else(|e| panic!("terminate: {e}"));
            }
            Fault::CutConnections => {
                let mut session = session(server);
                let row = session
                    .query_one("SELECT current_setting('pg_kafka.listen_addresses')", &[])
                    .unwrap();
                let other = if row.get::<_, String>(0) == "localhost" {
                    "127.0.0.1,::1"
                } else {
                    "localhost"
                };
                let change = format!("ALTER SYSTEM SET pg_kafka.listen_addresses = '{other}'");
                session
                    .batch_execute(&change)
                    .and_then(|()| session.batch_execute("SELECT pg_reload_conf()"))
                    .unwrap();
            }
        }
        eventually("Postgres accepts connections", || {
            let mut session = try_session(server).ok()?;
            session.simple_query("SELECT 1").ok()?;
            Some(Instant::now())
        })
    }
}
