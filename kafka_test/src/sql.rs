//! SQL on the database that holds the log; for pg_kafka only.

use crate::server::Server;
use postgres::{Client, NoTls};

/// A new session.
pub fn session(server: &Server) -> Client {
    try_session(server).unwrap_or_else(|e| panic!("connect to PostgreSQL: {e}"))
}

/// A new session, or why there is none.
pub fn try_session(server: &Server) -> Result<Client, postgres::Error> {
    let settings = server.sql.as_deref().expect("this test needs the SQL side of pg_kafka");
    Client::connect(settings, NoTls)
}
