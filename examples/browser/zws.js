// SPDX-License-Identifier: MIT
// ZeroMQ in a browser, without a library: ZWS 2.0 (RFC 45) over the browser's own WebSocket.
//
// With the subprotocol "ZWS2.0" each side first sends its routing id, here an empty one. After that
// each part of a message is one binary message of the WebSocket: a byte of flags (1: more parts
// follow), then the part. A SUB subscribes by a message of the byte 1 and the topic, and takes that
// back by the byte 0. A REQ puts an empty part in front of each request, and so does the answer.

"use strict";

const MORE = 1;
const utf8 = new TextEncoder();

function bytesOf(part) {
  return typeof part === "string" ? utf8.encode(part) : new Uint8Array(part);
}

function textOf(part) {
  return new TextDecoder().decode(part);
}

// A connection that comes back when it is lost. Subclasses have `connected`, `received(parts)` and
// `lost`.
class Zws {
  constructor(url) {
    this.url = url;
    this.closed = false;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(this.url, "ZWS2.0");
    let parts = null; // of the message that arrives; null: the routing id is due
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.sendMessage([""]); // our routing id: none
      this.connected();
    };
    socket.onmessage = (event) => {
      const bytes = new Uint8Array(event.data);
      if (parts === null) {
        parts = []; // the socket's routing id
        return;
      }
      parts.push(bytes.subarray(1));
      if (!(bytes[0] & MORE)) {
        const message = parts;
        parts = [];
        this.received(message);
      }
    };
    socket.onclose = () => {
      this.lost();
      if (!this.closed) this.timer = setTimeout(() => this.connect(), 500);
    };
    this.socket = socket;
  }

  sendMessage(parts) {
    parts.forEach((part, i) => {
      const body = bytesOf(part);
      const frame = new Uint8Array(1 + body.length);
      frame[0] = i + 1 < parts.length ? MORE : 0;
      frame.set(body, 1);
      this.socket.send(frame);
    });
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.close();
  }

  connected() {}
  received() {}
  lost() {}
}

// const sub = new Sub("ws://host:port/path", (parts) => ...); sub.subscribe("topic");
class Sub extends Zws {
  constructor(url, onMessage) {
    super(url);
    this.onMessage = onMessage;
    this.topics = new Set();
  }

  subscribe(topic) {
    this.topics.add(topic);
    if (this.socket.readyState === 1) this.tell(1, topic);
  }

  unsubscribe(topic) {
    this.topics.delete(topic);
    if (this.socket.readyState === 1) this.tell(0, topic);
  }

  tell(first, topic) {
    this.sendMessage([[first, ...bytesOf(topic)]]);
  }

  connected() {
    for (const topic of this.topics) this.tell(1, topic);
  }

  received(parts) {
    this.onMessage(parts);
  }
}

// const req = new Req("ws://host:port/path"); const parts = await req.ask("a", "b");
// One request after the other. What has no answer when the connection is lost is rejected.
class Req extends Zws {
  constructor(url) {
    super(url);
    this.waiting = [];
    this.asked = false;
  }

  ask(...parts) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ parts, resolve, reject });
      this.next();
    });
  }

  next() {
    if (this.asked || !this.waiting.length || this.socket.readyState !== 1) return;
    this.asked = true;
    this.sendMessage(["", ...this.waiting[0].parts]);
  }

  connected() {
    this.next();
  }

  received(parts) {
    if (!this.asked || parts.length < 2 || parts[0].length) return;
    this.asked = false;
    this.waiting.shift().resolve(parts.slice(1));
    this.next();
  }

  lost() {
    if (this.asked) this.waiting.shift().reject(new Error("the connection was lost"));
    this.asked = false;
  }
}

if (typeof module !== "undefined") module.exports = { Sub, Req, textOf };
