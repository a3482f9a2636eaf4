// Serves one of the npm Bayeux servers on /notification/realtime. For the test that drives it: POST /publish, and
// GET /seen, which tells the meta messages that came and the subscriptions that stand since then.
// Usage: node server.js cometd|faye PORT   (its node_modules are found through NODE_PATH)
'use strict';

const http = require('http');

const PATH = '/notification/realtime';
const [kind, port] = process.argv.slice(2);

const seen = { messages: [], subscribed: [] };

function note({ channel, clientId, connectionType }) {
  if (channel.startsWith('/meta/')) seen.messages.push({ channel, clientId, connectionType });
}

function cometd() {
  const server = require('cometd-nodejs-server').createCometDServer({ maxInterval: 5000, sweepPeriod: 500 });
  server.addExtension({ incoming: (_server, _session, message, go) => { note(message); go(undefined, true); } });
  server.addListener('subscribed', (channel) => seen.subscribed.push(channel.name));
  return {
    attach: (app) => app.on('request', (request, response) => {
      if (request.url.startsWith(PATH)) server.handle(request, response);
    }),
    publish: (channel, data) => server.createServerChannel(channel).publish(null, data),
  };
}

function faye() {
  const adapter = new (require('faye').NodeAdapter)({ mount: PATH, timeout: 20 });
  adapter.addExtension({ incoming: (message, request, go) => {
    if (request) note(message); // without one it is the server's own client, which publishes
    go(message);
  } });
  adapter.on('subscribe', (_client, channel) => seen.subscribed.push(channel));
  return {
    attach: (app) => adapter.attach(app),
    publish: (channel, data) => adapter.getClient().publish(channel, data),
  };
}

const bayeux = { cometd, faye }[kind]();

function control(request, response) {
  if (request.url.startsWith(PATH)) return;
  if (request.method === 'GET' && request.url === '/seen') {
    response.end(JSON.stringify(seen));
    return;
  }
  if (request.method !== 'POST' || request.url !== '/publish') {
    response.writeHead(404).end();
    return;
  }
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const { channel, data } = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    bayeux.publish(channel, data);
    response.writeHead(204).end();
  });
}

const app = http.createServer(control);
bayeux.attach(app);
app.listen(Number(port), '127.0.0.1', () => console.log('listening'));
