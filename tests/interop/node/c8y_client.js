// Cumulocity's own JavaScript client, driven as its users drive it: each scenario prints what the client saw as JSON.
// Usage: node c8y_client.js URL SCENARIO   (its node_modules are found through NODE_PATH)
'use strict';

const { Client } = require('@c8y/client');

const [url, name] = process.argv.slice(2);
const login = { tenant: 't1', user: 'demo', password: 'demo' };

const refused = (promise) => promise.then(
  () => null,
  ({ res, data }) => ({ status: res.status, error: data.error, message: data.message }),
);
const alarm = (source, type, more = {}) => ({
  type, text: 'Smoke', severity: 'MAJOR', time: new Date().toISOString(), source: { id: source }, ...more,
});

async function device(client, label) {
  const { data } = await client.inventory.create({ name: label, c8y_IsDevice: {} });
  return data.id;
}

async function filled(client, number) {
  const source = await device(client, name);
  for (let i = 0; i < number; i += 1) {
    await client.alarm.create(alarm(source, `js_${i}`, { severity: i % 2 ? 'MINOR' : 'CRITICAL' }));
  }
  return source;
}

function waited(what, seconds = 10) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error('nothing came in time')), seconds * 1000).unref();
  });
  return Promise.race([what, late]);
}

// Collects what a subscription delivers, and lets a scenario wait for the n-th delivery.
function collector() {
  const seen = [];
  const waiting = [];
  const callback = (message) => {
    const { realtimeAction, data } = message.data;
    seen.push({ channel: message.channel, action: realtimeAction, id: data.id, status: data.status });
    waiting.filter(({ number }) => seen.length >= number).forEach(({ resolve }) => resolve());
  };
  const until = (number) => waited(new Promise((resolve) => {
    if (seen.length >= number) resolve(); else waiting.push({ number, resolve });
  }));
  return { seen, callback, until };
}

// Resolves with the next message on a meta channel that went well, and that is as wanted.
const metaOf = (client, channel, wanted = () => true) => waited(new Promise((resolve) => {
  const handle = client.realtime.cometd.addListener(channel, (message) => {
    if (message.successful && wanted(message)) {
      client.realtime.removeListener(handle);
      resolve(message);
    }
  });
}));

// Resolves when the server has confirmed a subscription; what happens before may be missed.
const confirmed = (client, channel) => metaOf(client, '/meta/subscribe', ({ subscription }) => subscription === channel);

const gone = (client) => waited(new Promise((resolve) => { client.realtime.disconnect(() => resolve()); }));

const scenarios = {
  async login() {
    const client = await Client.authenticate(login, url);
    return {
      tenant: client.core.tenant,
      user: (await client.user.current()).data.userName,
      password: await refused(Client.authenticate({ ...login, password: 'wrong' }, url)),
      foreign: await refused(Client.authenticate({ ...login, tenant: 't2' }, url)),
    };
  },

  async oauth() {
    const seen = {};
    for (const how of ['authenticateViaOAuthInternal', 'authenticateViaOAuthInternalCookie']) {
      const client = await Client[how](login, url);
      const { data } = await client.alarm.create(alarm('4711', `js_${how}`));
      seen[how] = {
        user: (await client.user.current()).data.userName,
        status: data.status,
        wrong: await Client[how]({ ...login, password: 'wrong' }, url).then(() => null, ({ res }) => res.status),
      };
    }
    return seen;
  },

  async audit(client) {
    const source = await filled(client, 1);
    const { id } = (await client.alarm.list({ source })).data[0];
    await client.alarm.update({ id, status: 'CLEARED' });
    const { data } = await client.audit.list({ source: id });
    return data.map(({ user, activity, changes, source: of }) => ({ user, activity, changes: changes.length, same: of.id === id }));
  },

  async create(client) {
    const source = await device(client, 'Door 7');
    const first = await client.alarm.create(alarm(source, 'js_Fire', { js_Floor: { no: 3 } }));
    const again = await client.alarm.create(alarm(source, 'js_Fire', { severity: 'CRITICAL' }));
    return { source, status: first.res.status, location: first.res.headers.get('location'), first: first.data, again: again.data };
  },

  async detail(client) {
    const source = await filled(client, 1);
    const [listed] = (await client.alarm.list({ source })).data;
    const byId = await client.alarm.detail(listed.id);
    const byObject = await client.alarm.detail({ id: Number(listed.id) });
    return { listed, byId: byId.data, byObject: byObject.data };
  },

  async update(client) {
    const source = await filled(client, 1);
    const { id } = (await client.alarm.list({ source })).data[0];
    const acknowledged = await client.alarm.update({ id, status: 'ACKNOWLEDGED', js_Note: { by: 'ada' } });
    const cleared = await client.alarm.update({ id, status: 'CLEARED', js_Note: null });
    return { id, status: acknowledged.res.status, acknowledged: acknowledged.data, cleared: cleared.data };
  },

  async paging(client) {
    const source = await filled(client, 12);
    const filter = { source, pageSize: 5, withTotalPages: true, withTotalElements: true };
    const pages = [await client.alarm.list(filter)];
    while (pages.at(-1).paging.nextPage) pages.push(await pages.at(-1).paging.next());
    const back = await pages.at(-1).paging.prev();
    const numbers = ({ paging: { currentPage, nextPage, prevPage, pageSize, totalPages, totalElements } }) => (
      { currentPage, nextPage, prevPage, pageSize, totalPages, totalElements });
    return {
      types: pages.map(({ data }) => data.map(({ type }) => type)),
      numbers: pages.map(numbers),
      back: back.data.map(({ type }) => type),
      bare: (await client.alarm.list({ source })).data.length,
    };
  },

  async filters(client) {
    const source = await filled(client, 6);
    const [first, second] = (await client.alarm.list({ source, pageSize: 2 })).data;
    await client.alarm.update({ id: first.id, status: 'ACKNOWLEDGED' });
    await client.alarm.update({ id: second.id, status: 'CLEARED' });
    const number = async (filter) => (await client.alarm.list({ source, pageSize: 100, ...filter })).data.length;
    return {
      several: await number({ status: ['ACTIVE', 'ACKNOWLEDGED'] }),
      joined: await number({ status: 'ACTIVE,CLEARED' }),
      critical: await number({ severity: 'CRITICAL' }),
      resolved: await number({ resolved: true }),
      type: await number({ type: 'js_3' }),
      later: await number({ dateFrom: '2999-01-01' }),
      offset: await number({ dateFrom: '2001-01-01T00:00:00+02:00' }),
    };
  },

  async count(client) {
    const source = await filled(client, 6);
    const counted = await client.alarm.count({ source, severity: 'MINOR' });
    return { status: counted.res.status, minor: counted.data, all: (await client.alarm.count({ source })).data };
  },

  async bulk(client) {
    const source = await filled(client, 6);
    const other = await filled(client, 2);
    const done = await client.alarm.updateBulk({ status: 'CLEARED' }, { source, status: 'ACTIVE', severity: 'CRITICAL' });
    return {
      status: done.status,
      source,
      other,
      unfiltered: await refused(client.alarm.updateBulk({ status: 'CLEARED' }, {})),
    };
  },

  async errors(client) {
    const source = await device(client, 'Door 8');
    return {
      missing: await refused(client.alarm.detail('99999999')),
      incomplete: await refused(client.alarm.create({ type: 'js_X', source: { id: source } })),
      severity: await refused(client.alarm.create(alarm(source, 'js_X', { severity: 'HUGE' }))),
      paging: await refused(client.alarm.list({ source, pageSize: 'many' })),
    };
  },

  async inventory(client) {
    const source = await filled(client, 2);
    const other = await device(client, "Gate 'north'");
    await client.inventory.update({ id: other, js_Zone: { no: 4 } });
    const names = async (query) => (await client.inventory.list({ query, pageSize: 100 })).data.map(({ id }) => id);
    const found = {
      quoted: await names("$filter=(name eq 'Gate ''north''')"),
      wildcard: await names("name eq 'Gate*' and has(js_Zone)"),
      nested: await names('$filter=(js_Zone.no eq 4)'),
      none: await names('has(js_Nothing)'),
    };
    const deleted = await client.inventory.delete(source);
    return { source, other, found, deleted: deleted.res.status, left: (await client.alarm.count({ source })).data };
  },

  async realtime(client) {
    const source = await device(client, 'Door 9');
    const { seen, callback, until } = collector();
    const ready = confirmed(client, `/alarms/${source}`);
    client.realtime.subscribe(`/alarms/${source}`, callback);
    await ready;
    const { data } = await client.alarm.create(alarm(source, 'js_Live'));
    await until(1);
    await client.alarm.update({ id: data.id, status: 'ACKNOWLEDGED' });
    await client.alarm.update({ id: data.id, status: 'CLEARED' });
    await until(3);
    const transport = client.realtime.cometd.getTransport().getType();
    await gone(client);
    return { id: data.id, source, seen, transport, disconnected: client.realtime.isDisconnected() };
  },

  async unsubscribe(client) {
    const [source, other] = [await device(client, 'One'), await device(client, 'Two')];
    const [all, one] = [collector(), collector()];
    const ready = Promise.all([confirmed(client, '/alarms/*'), confirmed(client, `/alarms/${source}`)]);
    client.realtime.subscribe('/alarms/*', all.callback);
    const subscription = client.realtime.subscribe(`/alarms/${source}`, one.callback);
    await ready;
    await client.alarm.create(alarm(source, 'js_1'));
    await Promise.all([all.until(1), one.until(1)]);
    const unsubscribed = metaOf(client, '/meta/unsubscribe');
    client.realtime.unsubscribe(subscription);
    await unsubscribed;
    await client.alarm.create(alarm(source, 'js_2'));
    await client.alarm.create(alarm(other, 'js_3'));
    await all.until(3);
    await gone(client);
    return { all: all.seen.map(({ channel }) => channel), one: one.seen.length, source, other };
  },

  async denied() {
    const client = new Client(new (require('@c8y/client').BasicAuth)({ ...login, password: 'wrong' }), url);
    const failed = new Promise((resolve) => client.realtime.addHandshakeListener(resolve));
    client.realtime.subscribe('/alarms/*', () => {});
    const { successful, failure } = await waited(failed);
    client.realtime.disconnect();
    return { successful, status: failure.httpCode };
  },

  // A browser has a WebSocket; Node.js as npm installs this client has none.
  async websocket(client) {
    const source = await device(client, 'Door 10');
    const early = collector();
    const late = collector();
    require('isomorphic-cometd');
    window.WebSocket = require('faye-websocket').Client;
    // A disconnect is not answered there: CometD waits so long for it, and by itself as long as this script would.
    client.realtime.cometd.configure({ url: `${url}/notification/realtime`, maxNetworkDelay: 1000 });
    const handshake = metaOf(client, '/meta/handshake');
    const types = client.realtime.cometd.getTransportTypes();
    client.realtime.subscribe(`/alarms/${source}`, early.callback);
    await handshake;
    const ready = Promise.all([confirmed(client, `/alarms/${source}`), confirmed(client, '/alarms/*')]);
    client.realtime.subscribe('/alarms/*', late.callback);
    await ready;
    await client.alarm.create(alarm(source, 'js_Live'));
    await late.until(1);
    const transport = client.realtime.cometd.getTransport().getType();
    await gone(client);
    return { types, transport, early: early.seen.length, late: late.seen.length };
  },

  // A user with inventory roles alone: pages end where the scan ends, and are followed by their links.
  async roles() {
    const client = await Client.authenticate(login, url);
    const [mine, foreign] = ['4711', '4712'];
    for (let i = 0; i < 9; i += 1) {
      await client.alarm.create(alarm(i % 2 ? mine : foreign, `js_role_${i}`));
    }
    const eve = new Client(new (require('@c8y/client').BasicAuth)({ tenant: 't1', user: 'eve', password: 'eve' }), url);
    eve.core.tenant = 't1';
    const pages = [await eve.alarm.list({ pageSize: 3 })];
    while (pages.at(-1).paging.nextPage && pages.length < 50) pages.push(await pages.at(-1).paging.next());
    const denied = new Promise((resolve) => {
      eve.realtime.cometd.addListener('/meta/subscribe', resolve);
    });
    eve.realtime.subscribe('/alarms/*', () => {});
    const seen = {
      sources: [...new Set(pages.flatMap(({ data }) => data.map(({ source }) => source.id)))],
      ids: pages.flatMap(({ data }) => data.map(({ id }) => id)),
      open: (await client.alarm.list({ source: mine, pageSize: 100 })).data.map(({ id }) => id),
      places: pages.map(({ paging: { currentPage, nextPage } }) => [currentPage, nextPage]),
      totals: (await eve.alarm.list({ withTotalPages: true })).paging.totalPages,
      count: (await eve.alarm.count({})).data,
      create: await refused(eve.alarm.create(alarm(foreign, 'js_X'))),
      detail: await refused(eve.alarm.detail((await client.alarm.list({ source: foreign })).data[0].id)),
      subscribed: (await waited(denied)).successful,
    };
    await gone(eve);
    return seen;
  },

  // What exceeds the tenant's limit on requests is told as such.
  async throttled(client) {
    const calls = Array.from({ length: 12 }, () => client.alarm.list({ pageSize: 1 }).then(({ res }) => res.status, ({ res }) => res.status));
    return { statuses: await Promise.all(calls) };
  },

  // The same with its transport restricted, by the option that CometD documents for it.
  async restricted(client) {
    const source = await device(client, 'Door 11');
    const { seen, callback, until } = collector();
    require('isomorphic-cometd');
    window.WebSocket = require('faye-websocket').Client;
    client.realtime.cometd.unregisterTransport('websocket');
    const ready = confirmed(client, `/alarms/${source}`);
    client.realtime.subscribe(`/alarms/${source}`, callback);
    await ready;
    await client.alarm.create(alarm(source, 'js_Live'));
    await until(1);
    await gone(client);
    return { seen: seen.map(({ action }) => action) };
  },
};

async function main() {
  const alone = ['login', 'denied', 'oauth', 'roles'].includes(name);
  const result = await scenarios[name](alone ? undefined : await Client.authenticate(login, url));
  process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`, () => process.exit(0));
}

main().catch((error) => {
  console.error(error, error && error.data);
  process.exit(1);
});
