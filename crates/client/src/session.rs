//! A session with a gateway: hello, typed questions and their answers, and a watch over its silence.
//! Not what to do when it ends; that is [`crate::Follower`].

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;
use uart_iface::PortName;
use uartnet_proto::message::{
    Answer, Ask, Done, ErrorAnswer, ErrorCode, FromClient, FromServer, GatewayStatus, Hello, Info,
    List, Log, MessageError, Ping, PortDetails, PortSummary, Records, Reply, Request, Secret,
    Status, Welcome, data_header, data_room,
};
use uartnet_proto::{VERSION, plain};

use crate::connection;
use crate::{Address, ClientError, Connection, Gateway, Liveness, LivenessAction, Stream};

/// How long a question that needs no device may wait for its answer.
const PROMPT_ANSWER: Duration = Duration::from_secs(10);

/// A connection on which hello was said and welcome answered.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    welcome: Welcome,
    liveness: Liveness,
    next_id: u64,
}

impl Session {
    /// Connects and says hello, both within `limit`.
    ///
    /// # Errors
    /// As [`Connection::connect`] and [`Session::begin`]; [`ClientError::Unprotected`], before anything is sent.
    pub async fn connect(gateway: &Gateway, limit: Duration) -> Result<Session, ClientError> {
        Session::connect_over(
            connection::open(&gateway.address, &gateway.tls),
            gateway,
            limit,
        )
        .await
    }

    /// As [`Session::connect`], over the stream that `dialling` makes; the flag says whether only this machine can hear it.
    pub(crate) async fn connect_over(
        dialling: impl Future<Output = io::Result<(Box<dyn Stream>, bool)>>,
        gateway: &Gateway,
        limit: Duration,
    ) -> Result<Session, ClientError> {
        let deadline = Instant::now() + limit;
        let connection = Connection::dial(dialling, &gateway.address, limit).await?;
        if !gateway.allows(connection.is_private()) {
            let gateway = gateway.address.clone();
            return Err(ClientError::Unprotected { gateway });
        }
        let token = gateway.token.clone();
        match tokio::time::timeout_at(deadline, Session::begin(connection, token)).await {
            Ok(session) => session,
            Err(_) => {
                let awaited = "no answer to hello";
                Err(ClientError::ConnectTimedOut {
                    gateway: gateway.address.clone(),
                    awaited,
                    limit,
                })
            }
        }
    }

    /// Says hello on a connection, with this token, and waits for the welcome, however long that takes.
    ///
    /// # Errors
    /// [`ClientError::Refused`], [`ClientError::Unexpected`] when what answers does not speak this protocol, and
    /// everything a connection can end with.
    pub async fn begin(
        mut connection: Connection,
        token: Option<Secret>,
    ) -> Result<Session, ClientError> {
        let hello = Hello {
            hello: VERSION.to_owned(),
            token,
            client: Some(concat!("uart ", env!("CARGO_PKG_VERSION")).to_owned()),
        };
        send_message(
            &mut connection,
            &FromClient::Control(Request::Hello(hello), None),
        );
        let found = match receive_message(&mut connection).await? {
            FromServer::Control(Answer::Welcome(welcome), _) if welcome.welcome == VERSION => {
                let liveness = Liveness::new(Instant::now().into_std());
                return Ok(Session {
                    connection,
                    welcome,
                    liveness,
                    next_id: 1,
                });
            }
            FromServer::Control(Answer::Error(error), _) => {
                return Err(ClientError::Refused(Box::new(error)));
            }
            FromServer::Control(Answer::Welcome(welcome), _) => format!("{:?}", welcome.welcome),
            FromServer::Control(answer, _) => answer.kind().to_owned(),
            FromServer::Data { .. } => "data".to_owned(),
        };
        let gateway = connection.gateway().clone();
        Err(ClientError::Unexpected {
            gateway,
            wanted: "a welcome to uartnet/1",
            found,
        })
    }

    /// What the gateway said of itself.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The gateway at the other end.
    pub fn gateway(&self) -> &Address {
        self.connection.gateway()
    }

    /// Queues a request, and returns the id that its answer will carry.
    pub fn send(&mut self, request: Request) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        send_message(
            &mut self.connection,
            &FromClient::Control(request, Some(id)),
        );
        id
    }

    /// How many bytes [`Session::send_data`] takes at most, so that the gateway takes its frame.
    pub fn data_room(&self) -> usize {
        data_room(usize::try_from(self.welcome.max_frame).unwrap_or(usize::MAX))
    }

    /// Queues bytes for the open port's UART, at most [`Session::data_room`] of them.
    pub fn send_data(&mut self, offset: u64, bytes: &[u8]) {
        let mut header = BytesMut::new();
        data_header(offset, &mut header);
        self.connection.send(&[&header, bytes]);
    }

    /// The next message, except pongs without an id and kinds of message that this client does not know. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError::Closed`], [`ClientError::Lost`], [`ClientError::Silent`] when the session is over;
    /// [`ClientError::Frame`], [`ClientError::Message`] when what came makes no sense.
    pub async fn next(&mut self) -> Result<FromServer, ClientError> {
        loop {
            let silent_until = Instant::from_std(self.liveness.poll_timeout());
            // Reading first: what has arrived while this process was stopped is heard before its silence is judged.
            let message = tokio::select! {
                biased;
                message = receive_message(&mut self.connection) => message?,
                () = tokio::time::sleep_until(silent_until) => {
                    self.handle_silence()?;
                    continue;
                }
            };
            self.liveness.handle_message(Instant::now().into_std());
            if !matches!(message, FromServer::Control(Answer::Pong(_), None)) {
                return Ok(message);
            }
        }
    }

    /// Sends a request and waits for its answer, at most `limit`; without one, as long as the gateway lives. For a session
    /// without an open port: events and data that arrive meanwhile are dropped.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the answer is an error, [`ClientError::NoAnswer`], and everything
    /// [`Session::next`] can end with.
    pub async fn request(
        &mut self,
        request: Request,
        limit: Option<Duration>,
    ) -> Result<Answer, ClientError> {
        let question = request.kind();
        let id = self.send(request);
        let Some(limit) = limit else {
            return self.answer(id).await;
        };
        match tokio::time::timeout(limit, self.answer(id)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::NoAnswer {
                gateway: self.gateway().clone(),
                question,
                limit,
            }),
        }
    }

    /// The ports this client may see.
    ///
    /// # Errors
    /// As [`Session::request`].
    pub async fn list(&mut self) -> Result<Vec<PortSummary>, ClientError> {
        match self
            .request(
                Request::List(List {
                    list: "ports".to_owned(),
                }),
                Some(PROMPT_ANSWER),
            )
            .await?
        {
            Answer::Ports(ports) => Ok(ports.ports),
            other => Err(self.unexpected("ports", &other)),
        }
    }

    /// Everything about one port.
    ///
    /// # Errors
    /// As [`Session::request`].
    pub async fn info(&mut self, port: &PortName) -> Result<PortDetails, ClientError> {
        match self
            .request(
                Request::Info(Info {
                    info: port.to_string(),
                }),
                Some(PROMPT_ANSWER),
            )
            .await?
        {
            Answer::Port(info) => Ok(info.port),
            other => Err(self.unexpected("port", &other)),
        }
    }

    /// A page of a port's log.
    ///
    /// # Errors
    /// As [`Session::request`]; a port that keeps no text log is a [`ClientError::Refused`] with the code `no-log`.
    pub async fn log(&mut self, log: Log) -> Result<Records, ClientError> {
        match self.request(Request::Log(log), None).await? {
            Answer::Records(records) => Ok(records),
            other => Err(self.unexpected("records", &other)),
        }
    }

    /// The gateway as a whole.
    ///
    /// # Errors
    /// As [`Session::request`].
    pub async fn status(&mut self) -> Result<GatewayStatus, ClientError> {
        let status = Status {
            status: "gateway".to_owned(),
        };
        match self
            .request(Request::Status(status), Some(PROMPT_ANSWER))
            .await?
        {
            Answer::Status(answer) => Ok(answer.status),
            other => Err(self.unexpected("status", &other)),
        }
    }

    /// One command for the board, and its reply.
    ///
    /// # Errors
    /// As [`Session::request`]; a board that does not reply in time is a [`ClientError::Refused`] with the code `timeout`.
    pub async fn ask(&mut self, ask: Ask) -> Result<Reply, ClientError> {
        match self.request(Request::Ask(ask), None).await? {
            Answer::Reply(reply) => Ok(reply),
            other => Err(self.unexpected("reply", &other)),
        }
    }

    /// A request that is answered with `done`.
    ///
    /// # Errors
    /// As [`Session::request`].
    pub async fn control(&mut self, request: Request) -> Result<Done, ClientError> {
        match self.request(request, None).await? {
            Answer::Done(done) => Ok(done),
            other => Err(self.unexpected("done", &other)),
        }
    }

    /// The error for an answer of the wrong kind.
    pub(crate) fn unexpected(&self, wanted: &'static str, found: &Answer) -> ClientError {
        ClientError::Unexpected {
            gateway: self.gateway().clone(),
            wanted,
            found: found.kind().to_owned(),
        }
    }

    async fn answer(&mut self, id: u64) -> Result<Answer, ClientError> {
        let mut stopping = None;
        loop {
            let message = match (self.next().await, stopping.take()) {
                // Why it was closed was said before.
                (Err(ClientError::Closed { .. } | ClientError::Lost { .. }), Some(error)) => {
                    return Err(ClientError::Refused(Box::new(error)));
                }
                (message, told) => {
                    stopping = told;
                    message?
                }
            };
            match message {
                // A gateway that stops still gives the answers that are due.
                FromServer::Control(Answer::Error(error), None)
                    if error.error == ErrorCode::Shutdown =>
                {
                    stopping = Some(error);
                }
                // Any other error without an id is about the connection, so it is the last thing this answer waits for.
                FromServer::Control(Answer::Error(error), answered)
                    if answered.is_none_or(|answered| answered == id) =>
                {
                    return Err(ClientError::Refused(Box::new(error)));
                }
                FromServer::Control(answer, Some(answered)) if answered == id => return Ok(answer),
                _ => {}
            }
        }
    }

    fn handle_silence(&mut self) -> Result<(), ClientError> {
        match self.liveness.handle_timeout(Instant::now().into_std()) {
            LivenessAction::Wait => {}
            LivenessAction::Ping => {
                let ping = FromClient::Control(Request::Ping(Ping { ping: 0 }), None);
                send_message(&mut self.connection, &ping);
            }
            LivenessAction::GiveUp(silence) => {
                let silence = Duration::from_secs(silence.as_secs());
                return Err(ClientError::Silent {
                    gateway: self.gateway().clone(),
                    silence,
                });
            }
        }
        Ok(())
    }
}

/// The next message of a kind that this client knows; others are from a newer gateway and passed over.
async fn receive_message(connection: &mut Connection) -> Result<FromServer, ClientError> {
    loop {
        let payload = connection.receive().await?;
        let gateway = || connection.gateway().clone();
        let payload = payload.ok_or_else(|| ClientError::Closed { gateway: gateway() })?;
        match FromServer::decode(&payload) {
            Ok(message) => return Ok(message),
            Err(MessageError::UnknownKind { .. }) => {}
            Err(cause) => {
                // A gateway that ends a connection before it has seen a hello says so in the plain conversation's words.
                return Err(match plain::as_failure(&payload) {
                    Some((error, sentence)) => {
                        ClientError::Refused(Box::new(ErrorAnswer::new(error, sentence)))
                    }
                    None => ClientError::Message {
                        gateway: gateway(),
                        cause,
                    },
                });
            }
        }
    }
}

fn send_message(connection: &mut Connection, message: &FromClient) {
    let mut payload = BytesMut::new();
    message.encode(&mut payload);
    connection.send(&[&payload]);
}
