// faye's Bayeux client, as anyone would use it against Cumulocity's realtime endpoint; prints what it saw as JSON.
// Usage: node faye_client.js URL CHANNEL   (its node_modules are found through NODE_PATH)
'use strict';

const faye = require('faye');

const [url, channel] = process.argv.slice(2);
const authorization = `Basic ${Buffer.from('t1/demo:demo').toString('base64')}`;
const source = channel.split('/').pop();

const client = new faye.Client(`${url}/notification/realtime`);
client.setHeader('Authorization', authorization);
client.disable('websocket');

const send = (method, path, body) => fetch(`${url}${path}`, {
  method,
  headers: { authorization, accept: 'application/json', 'content-type': 'application/json' },
  body: JSON.stringify(body),
}).then((reply) => reply.json());

async function main() {
  const seen = [];
  let arrived;
  const all = new Promise((resolve) => { arrived = resolve; });
  await client.subscribe(channel, ({ realtimeAction, data }) => {
    seen.push([realtimeAction, data.status]);
    if (seen.length === 3) arrived();
  });
  const { id } = await send('POST', '/alarm/alarms', {
    type: 'faye_Live', text: 'Smoke', severity: 'MAJOR', time: new Date().toISOString(), source: { id: source },
  });
  await send('PUT', `/alarm/alarms/${id}`, { status: 'ACKNOWLEDGED' });
  await send('PUT', `/alarm/alarms/${id}`, { status: 'CLEARED' });
  await all;
  await client.disconnect();
  process.stdout.write(`RESULT ${JSON.stringify({ seen })}\n`, () => process.exit(0));
}

setTimeout(() => { console.error('nothing came in time'); process.exit(1); }, 20000).unref();
main().catch((error) => { console.error(error); process.exit(1); });
