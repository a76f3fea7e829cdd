//! Making messages.

use std::{
    borrow::Cow,
    mem, ptr, slice,
    time::{Duration, SystemTime},
};

use patchbay_abi::{Draft, Header, Str, message::header};

use crate::{
    context::PluginContext,
    message::{Message, MessageId},
    scope::Scope,
    telemetry::Span,
    transport::{Publish, PublishError, Published},
};

/// A message in the making. The payload is written once, into the host's memory.
///
/// ```no_run
/// # async fn demo(context: &patchbay_plugin::PluginContext) -> Result<(), patchbay_plugin::PluginError> {
/// context
///     .message_builder()
///     .topic("orders.accepted")
///     .key("customer-7")
///     .header("tenant", "north")
///     .text("42")
///     .publish()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a message goes nowhere until it is published or built"]
pub struct MessageBuilder<'a> {
    context: &'a PluginContext,
    topic: Option<Cow<'a, str>>,
    key: Cow<'a, [u8]>,
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    payload: Payload<'a>,
    id: u128,
    expires_ns: u64,
    cause: Option<Message>,
    /// Kept until the message is built, where it is reported.
    error: Option<String>,
}

/// Where the payload comes from.
#[derive(Debug)]
enum Payload<'a> {
    Bytes(Cow<'a, [u8]>),
    /// The payload of another message, by reference.
    Shared(&'a Message),
}

// === impl MessageBuilder ===

impl<'a> MessageBuilder<'a> {
    pub(crate) fn new(context: &'a PluginContext) -> Self {
        MessageBuilder {
            context,
            topic: None,
            key: Cow::Borrowed(&[]),
            headers: Vec::new(),
            payload: Payload::Bytes(Cow::Borrowed(&[])),
            id: 0,
            expires_ns: 0,
            cause: None,
            error: None,
        }
    }

    /// The topic; else the plugin's standard one.
    pub fn topic(mut self, topic: impl Into<Cow<'a, str>>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// What messages that must stay in order have in common.
    pub fn key(mut self, key: impl Into<Cow<'a, str>>) -> Self {
        self.key = match key.into() {
            Cow::Borrowed(key) => Cow::Borrowed(key.as_bytes()),
            Cow::Owned(key) => Cow::Owned(key.into_bytes()),
        };
        self
    }

    /// Sets a header, in place of one of the same name.
    pub fn header(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some(known) => known.1 = value,
            None => self.headers.push((name, value)),
        }
        self
    }

    /// The payload: any bytes.
    pub fn payload(mut self, payload: impl Into<Cow<'a, [u8]>>) -> Self {
        self.payload = Payload::Bytes(payload.into());
        self
    }

    /// The payload: a text.
    pub fn text(mut self, text: impl Into<Cow<'a, str>>) -> Self {
        self.payload = Payload::Bytes(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        });
        self.default_header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        self
    }

    /// The payload: a value as JSON. A value that has no JSON form is reported by
    /// [`build`](MessageBuilder::build).
    #[cfg(feature = "json")]
    pub fn json(mut self, value: &(impl serde::Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.payload = Payload::Bytes(Cow::Owned(bytes)),
            Err(error) => self.error = Some(format!("payload has no JSON form: {error}")),
        }
        self.default_header(header::CONTENT_TYPE, "application/json");
        self
    }

    /// The payload of another message, shared and not copied. Its key and headers are not taken
    /// over.
    pub fn payload_of(mut self, message: &'a Message) -> Self {
        self.payload = Payload::Shared(message);
        self
    }

    /// Media type of the payload.
    pub fn content_type(self, value: impl Into<Cow<'a, str>>) -> Self {
        self.header(header::CONTENT_TYPE, value)
    }

    /// Schema of the payload.
    pub fn schema(self, value: impl Into<Cow<'a, str>>) -> Self {
        self.header(header::SCHEMA, value)
    }

    /// Version of the message's format.
    pub fn version(self, value: impl Into<Cow<'a, str>>) -> Self {
        self.header(header::VERSION, value)
    }

    /// Who publishes; else the plugin's name.
    pub fn source(self, value: impl Into<Cow<'a, str>>) -> Self {
        self.header(header::SOURCE, value)
    }

    /// The topic that a reply is to go to. It arrives there as any message.
    pub fn reply_to(self, topic: impl Into<Cow<'a, str>>) -> Self {
        self.header(header::REPLY_TO, topic)
    }

    /// What ties a reply to this message: the reply carries the same.
    pub fn correlation_id(self, id: impl Into<Cow<'a, str>>) -> Self {
        self.header(header::CORRELATION_ID, id)
    }

    /// The id; else the host makes one.
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = id.0;
        self
    }

    /// The message is of no use after this time from now.
    pub fn expires_in(mut self, time: Duration) -> Self {
        let at =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + time;
        self.expires_ns = u64::try_from(at.as_nanos()).unwrap_or(0);
        self
    }

    /// The message that led to this one. Within a handler that is the message it handles; a task
    /// that a handler spawned has to say it.
    pub fn cause(mut self, message: &Message) -> Self {
        self.cause = Some(message.clone());
        self
    }

    /// The span whose trace the message carries. Within a handler that is the span that is entered.
    pub fn span(self, span: &Span) -> Self {
        match span.traceparent() {
            Some(context) => self.header(header::TRACEPARENT, context.to_owned()),
            None => self,
        }
    }

    /// Makes the message.
    ///
    /// # Errors
    /// [`PublishError::Refused`] when the host refuses topic, header or size, or the payload could
    /// not be made.
    pub fn build(mut self) -> Result<Message, PublishError> {
        let payload = mem::replace(&mut self.payload, Payload::Bytes(Cow::Borrowed(&[])));
        match payload {
            Payload::Bytes(bytes) => {
                let (message, room) = self.room(bytes.len())?;
                // SAFETY: room for as many bytes, which nobody else sees before the publish.
                unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len()) };
                Ok(message)
            }
            Payload::Shared(base) => {
                let host = self.context.transport.link().host;
                self.draft(0, |draft| host.message_derive(base, draft))
            }
        }
    }

    /// Makes a message with a payload of `len` bytes that `write` fills in place, in the host's memory.
    /// The bytes are zero before.
    ///
    /// # Errors
    /// As [`build`](MessageBuilder::build).
    pub fn build_with(
        mut self,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<Message, PublishError> {
        let (message, room) = self.room(len)?;
        if len == 0 {
            write(&mut []);
            return Ok(message);
        }
        // SAFETY: room for `len` bytes, which nobody else sees before the publish.
        write(unsafe {
            ptr::write_bytes(room, 0, len);
            slice::from_raw_parts_mut(room, len)
        });
        Ok(message)
    }

    /// Makes the message and publishes it; waits for room where a subscription is full.
    pub fn publish(mut self) -> Publish {
        let link = self.context.transport.link().clone();
        let cause = self.cause.take();
        Publish::new(link, self.build(), cause)
    }

    /// Makes the message and publishes it now or not at all.
    ///
    /// # Errors
    /// [`PublishError::Full`] with the message, and those of [`Publish`].
    pub fn try_publish(mut self) -> Result<Published, PublishError> {
        let link = self.context.transport.link().clone();
        let cause = self.cause.take();
        crate::transport::publish_now(&link, self.build()?, cause.as_ref())
    }

    /// A message and the room for its payload.
    fn room(&mut self, len: usize) -> Result<(Message, *mut u8), PublishError> {
        let host = self.context.transport.link().host;
        let mut room = ptr::null_mut();
        let message = self.draft(len, |draft| {
            let (message, at) = host.message_new(draft)?;
            room = at;
            Some(message)
        })?;
        Ok((message, room))
    }

    /// Puts the draft together and hands it to `make`.
    fn draft(
        &mut self,
        payload_len: usize,
        make: impl FnOnce(&Draft) -> Option<Message>,
    ) -> Result<Message, PublishError> {
        let topic = match self.topic.take() {
            Some(topic) => topic,
            None => Cow::Owned(self.context.topic()),
        };
        if let Some(reason) = self.error.take() {
            return Err(PublishError::Refused { topic: topic.into_owned(), reason });
        }
        self.default_header(header::SOURCE, &self.context.plugin_name);
        let host = self.context.transport.link().host;
        let span = Scope::current(host, |scope| scope.and_then(Scope::span));
        if let Some(context) = span.as_ref().and_then(|span| span.traceparent()) {
            self.default_header(header::TRACEPARENT, context);
        }
        let headers: Vec<Header> = self
            .headers
            .iter()
            .map(|(name, value)| Header { name: Str::new(name), value: Str::new(value) })
            .collect();
        let draft = Draft {
            size: size_of::<Draft>() as u32,
            flags: 0,
            topic: Str::new(&topic),
            key: Str::from_bytes(&self.key),
            headers: headers.as_ptr(),
            nheaders: headers.len() as u32,
            reserved: 0,
            payload_len,
            id_hi: (self.id >> 64) as u64,
            id_lo: self.id as u64,
            expires_ns: self.expires_ns,
        };
        make(&draft).ok_or_else(|| PublishError::Refused {
            topic: topic.clone().into_owned(),
            reason: "the host accepts neither such a topic, nor header, nor size".to_owned(),
        })
    }

    fn default_header(&mut self, name: &'static str, value: &str) {
        if !self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            self.headers.push((Cow::Borrowed(name), Cow::Owned(value.to_owned())));
        }
    }
}
