// Serves one of the npm Bayeux servers on /notification/realtime, and POST /publish for the test that drives it.
// Usage: node server.js cometd|faye PORT   (its node_modules are found through NODE_PATH)
'use strict';

const http = require('http');

const PATH = '/notification/realtime';
const [kind, port] = process.argv.slice(2);

function cometd() {
  const server = require('cometd-nodejs-server').createCometDServer({ maxInterval: 5000, sweepPeriod: 500 });
  return {
    attach: (app) => app.on('request', (request, response) => {
      if (request.url.startsWith(PATH)) server.handle(request, response);
    }),
    publish: (channel, data) => server.createServerChannel(channel).publish(null, data),
  };
}

function faye() {
  const adapter = new (require('faye').NodeAdapter)({ mount: PATH, timeout: 20 });
  return {
    attach: (app) => adapter.attach(app),
    publish: (channel, data) => adapter.getClient().publish(channel, data),
  };
}

const bayeux = { cometd, faye }[kind]();

function control(request, response) {
  if (request.url.startsWith(PATH)) return;
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
