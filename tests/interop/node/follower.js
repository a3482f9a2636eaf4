// Follows a device's alarms until it is interrupted, as an application would, and tells what happens, a line each.
// Usage: node follower.js URL cometd|c8y long-polling|websocket CHANNEL   (its node_modules are found through NODE_PATH)
'use strict';

const { Client } = require('@c8y/client');
const { CometD } = require('isomorphic-cometd');
const AckExtension = require('cometd/AckExtension');

// A browser has a WebSocket; the Node.js adapter that npm installs with CometD has none.
if (process.argv[4] === 'websocket') window.WebSocket = require('faye-websocket').Client;

const [url, kind, , channel] = process.argv.slice(2);
const token = Buffer.from('t1/demo:demo').toString('base64');
const tell = (line) => process.stdout.write(`SAW ${JSON.stringify(line)}\n`);
const onAlarm = ({ data: { realtimeAction, data } }) => tell({ alarm: data.text, action: realtimeAction });

// Limits by which a server that is gone is found out within two seconds; CometD's own are two minutes.
const limits = {
  url: `${url}/notification/realtime`, maxNetworkDelay: 1000, connectTimeout: 1000, backoffIncrement: 200, maxBackoff: 400,
  advice: { timeout: 1000, interval: 0, maxInterval: 0 },
};

function prepared(cometd) {
  cometd.configure(limits);
  for (const name of ['handshake', 'connect', 'subscribe', 'disconnect']) {
    cometd.addListener(`/meta/${name}`, ({ successful, clientId }) => {
      tell({ meta: name, successful, clientId, transport: cometd.getTransport() && cometd.getTransport().getType() });
    });
  }
  return cometd;
}

// CometD forgets the subscriptions of a lost session: its manual has them made in a listener to handshakes.
function followWithCometd() {
  const cometd = prepared(new CometD());
  cometd.registerExtension('ack', new AckExtension());
  cometd.configure({ ...limits, requestHeaders: { Authorization: `Basic ${token}` } });
  cometd.addListener('/meta/handshake', ({ successful }) => { if (successful) cometd.subscribe(channel, onAlarm); });
  cometd.handshake({ ext: { 'com.cumulocity.authn': { token } } });
  return cometd;
}

// The platform's client leaves the same to its users, with a method for it.
async function followWithC8y() {
  const { realtime } = await Client.authenticate({ tenant: 't1', user: 'demo', password: 'demo' }, url);
  const cometd = prepared(realtime.cometd);
  let subscription;
  realtime.addHandshakeListener(({ successful, reestablish }) => {
    if (successful && reestablish) subscription = realtime.resubscribe(subscription);
  });
  subscription = realtime.subscribe(channel, onAlarm);
  return cometd;
}

Promise.resolve({ cometd: followWithCometd, c8y: followWithC8y }[kind]()).then((cometd) => {
  process.on('SIGINT', () => cometd.disconnect(() => process.exit(0)));
});
