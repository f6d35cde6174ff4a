// The authorization server of the tests and of `make demo`: the certified npm oidc-provider on loopback.
//
// It is the witness. Every request to its token endpoint is a line of its own log, counted by the server and not by
// the code under test: GET /log. POST /settings, /fault and /reset change its behaviour, GET /issued lists every
// secret value that it ever handed out, for the leak check. It prints one line of JSON when it is ready and ends
// when its standard input closes, so it never outlives whoever started it.
//
//   node server.mjs [--log FILE]      environment: ACCESS_TOKEN_TTL (seconds)

import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import Provider, { errors } from 'oidc-provider';

console.info = console.warn; // the library's notices: standard output carries the readiness line only

// hold: so many replies of the token endpoint are held back until they can leave together.
// late: each of its replies comes up to so many milliseconds late, every one at another moment.
// offline: a refresh token comes without the scope offline_access, as Google's does.
const DEFAULTS = { access_token_ttl: Number(process.env.ACCESS_TOKEN_TTL ?? 3600), rotate: true, hold: 0, late: 0,
  offline: false };
const SCOPES = ['openid', 'offline_access', 'email', 'profile', 'files.read', 'files.write', 'mail.read',
  'https://www.googleapis.com/auth/drive.readonly']; // the last is the README's
const RESOURCES = { 'https://files.example/': 'files.read files.write', 'https://mail.example/': 'mail.read' };
const REDIRECT_URIS = ['http://127.0.0.1/callback', 'http://127.0.0.1/oauth/callback', 'http://localhost/callback'];

// RFC 6749 section 2.3.1: inside Basic, id and secret are form-urlencoded; these hold what that changes.
const CONFIDENTIAL = { client_id: 'confidential:app', client_secret: ':+%/ &=~secret-of-the-confidential-app' };
const PUBLIC = { client_id: 'public-app' };
// Its sign-ins begin with a pushed request (RFC 9126).
const PUSHING = { client_id: 'pushing-app', client_secret: 'secret-of-the-pushing-app' };
const SERVICE = { client_id: 'service-app', client_secret: 'secret-of-the-service-app' };

const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';

const settings = { ...DEFAULTS };
const faults = []; // each strikes once, in order, at the next request of its endpoint
const requests = []; // of the token endpoint, oldest first
const held = []; // the replies that wait for each other
const issued = []; // { kind, value } of every secret ever handed out
const logFile = process.argv[2] === '--log' ? process.argv[3] : undefined;

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = buildProvider(issuer);
  const authorizationServer = provider.callback();
  server.on('request', (request, response) => {
    const control = CONTROL[`${request.method} ${request.url}`];
    if (!control) return authorizationServer(request, response);
    return control({ request, response, provider }).catch((error) => reply(response, 400, { error: String(error) }));
  });
  process.stdout.write(`${JSON.stringify({
    issuer, confidential: CONFIDENTIAL, public: PUBLIC, pushing: PUSHING, service: SERVICE, resources: Object.keys(RESOURCES),
  })}\n`);
});
process.stdin.resume().on('end', () => process.exit(0)).on('error', () => process.exit(0));

function buildProvider(issuer) {
  const person = { response_types: ['code'], grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE] };
  const native = { application_type: 'native', redirect_uris: REDIRECT_URIS }; // any port on loopback, RFC 8252 7.3
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const provider = new Provider(issuer, {
    adapter: Memory,
    claims: { openid: ['sub'], email: ['email'], profile: ['name'] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: [
      { ...CONFIDENTIAL, ...person, ...native },
      { ...PUSHING, ...person, ...native, require_pushed_authorization_requests: true },
      { ...PUBLIC, ...person, ...native, token_endpoint_auth_method: 'none' },
      { ...SERVICE, grant_types: ['client_credentials'], response_types: [], redirect_uris: [] },
    ],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      introspection: { enabled: true },
      pushedAuthorizationRequests: { enabled: true },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => false, // without `resource` a token is for the server's own user information
        getResourceServerInfo(ctx, resource) {
          if (resource === `${issuer}/mcp`) return { audience: resource, scope: 'files.read', accessTokenFormat: 'opaque' };
          if (!RESOURCES[resource]) throw new errors.InvalidTarget();
          return { audience: resource, scope: RESOURCES[resource], accessTokenFormat: 'opaque' };
        },
      },
      revocation: { enabled: true },
    },
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, name: id }),
    }),
    issueRefreshToken: (ctx, client, code) => client.grantTypeAllowed('refresh_token')
      && (settings.offline || code.scopes.has('offline_access')),
    jwks: { keys: [{ ...key, use: 'sig', alg: 'ES256', kid: 'test' }] },
    pkce: { required: () => true },
    renderError(ctx, error) {
      ctx.body = error; // JSON, so that a test can say why it was refused
    },
    responseTypes: ['code'],
    rotateRefreshToken: () => settings.rotate, // a used one revokes the whole grant, with no grace
    scopes: SCOPES,
    ttl: {
      AccessToken: () => settings.access_token_ttl,
      ClientCredentials: () => settings.access_token_ttl,
      AuthorizationCode: 60,
      DeviceCode: 600,
      Grant: 86_400,
      IdToken: 3600,
      Interaction: 600,
      RefreshToken: 86_400,
      Session: 86_400,
    },
  });
  return provider.use(witness).use(impostor);
}

// Sees every request of the token endpoint, lets faults strike, and keeps the log.
async function witness(ctx, next) {
  if (ctx.method !== 'POST' || ctx.path !== '/token') return next();
  const fault = take('token');
  const entry = { number: requests.length + 1, at: Date.now(), grant_type: null, client: null, ok: false, error: null,
    reused: false, fault: fault?.kind ?? null, milliseconds: 0 }; // how long the server itself took
  requests.push(entry);
  try {
    if (fault && BEFORE[fault.kind]) {
      entry.grant_type = new URLSearchParams(await text(ctx.req)).get('grant_type');
      return BEFORE[fault.kind](ctx, fault);
    }
    const start = performance.now();
    await next();
    entry.milliseconds = performance.now() - start;
    const { params, client, entities } = ctx.oidc;
    entry.grant_type = params?.grant_type ?? null;
    entry.client = client?.clientId ?? null;
    entry.ok = ctx.status === 200;
    entry.error = ctx.body?.error ?? null;
    entry.reused = !entry.ok && Boolean(entities.RefreshToken?.consumed);
    if (fault) await AFTER[fault.kind](ctx, fault);
    if (settings.late > 0) await delay((entry.number * 37) % settings.late);
    // One that a reset has forgotten was sent before it: it waits for nobody.
    if (settings.hold > 0 && requests.includes(entry)) await together();
  } finally {
    if (logFile) appendFileSync(logFile, `${JSON.stringify(entry)}\n`);
  }
}

function together() {
  return new Promise((resolve) => {
    held.push(resolve);
    if (held.length >= settings.hold) release();
  });
}

function release() {
  for (const resolve of held.splice(0)) resolve();
}

// Sends the callback of one sign-in with the `iss` of another server (RFC 9207).
async function impostor(ctx, next) {
  await next();
  const location = ctx.response.get('location');
  if (!location?.includes('code=') || !take('authorization')) return;
  const callback = new URL(location);
  callback.searchParams.set('iss', 'https://another-server.example');
  ctx.set('location', callback.href);
}

// The request never reaches the authorization server.
const BEFORE = {
  unavailable(ctx, { retry_after }) {
    if (retry_after !== undefined) ctx.set('retry-after', String(retry_after));
    ctx.status = 503;
    ctx.body = 'Service Unavailable';
  },
  error(ctx, { error, description, status = 400 }) {
    ctx.status = status;
    ctx.body = { error, error_description: description };
  },
  html(ctx, { status = 200 }) {
    ctx.status = status;
    ctx.type = 'html';
    ctx.body = '<!doctype html><title>Sign in to the guest network</title>';
  },
  drop_before: hangUp,
};

// The request was processed and committed; only the reply suffers.
const AFTER = {
  drop_after: hangUp,
  slow: (ctx, { milliseconds }) => delay(milliseconds),
  line_break(ctx) {
    ctx.body.access_token = `${ctx.body.access_token.slice(0, 10)}\n${ctx.body.access_token.slice(10)}`;
  },
  without(ctx, { field }) {
    delete ctx.body[field];
  },
  cut(ctx) {
    const body = JSON.stringify(ctx.body);
    ctx.respond = false;
    ctx.res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    ctx.res.write(body.slice(0, body.length / 2), () => ctx.req.socket.destroy());
  },
};

function hangUp(ctx) {
  ctx.respond = false;
  ctx.req.socket.destroy();
}

function take(endpoint) {
  const index = faults.findIndex((fault) => (fault.kind === 'wrong_iss') === (endpoint === 'authorization'));
  return index < 0 ? undefined : faults.splice(index, 1)[0];
}

const CONTROL = {
  'GET /log': async ({ response }) => reply(response, 200, {
    requests,
    count: requests.length,
    refreshes: requests.filter((entry) => entry.grant_type === 'refresh_token').length,
    reused: requests.filter((entry) => entry.reused).length,
    failed: requests.filter((entry) => !entry.ok).length,
  }),
  'GET /issued': async ({ response }) => reply(response, 200, { issued }),
  'POST /settings': async ({ request, response }) => {
    const changes = JSON.parse(await text(request));
    for (const name of Object.keys(changes)) if (!(name in DEFAULTS)) throw new Error(`no setting '${name}'`);
    reply(response, 200, Object.assign(settings, changes));
    if (held.length >= settings.hold) release();
  },
  'POST /fault': async ({ request, response }) => {
    const fault = JSON.parse(await text(request));
    if (!(fault.kind in BEFORE || fault.kind in AFTER || fault.kind === 'wrong_iss')) throw new Error(`no fault '${fault.kind}'`);
    faults.push(fault);
    reply(response, 200, { waiting: faults.length });
  },
  'POST /reset': async ({ response }) => {
    Object.assign(settings, DEFAULTS);
    faults.length = 0;
    requests.length = 0;
    release();
    reply(response, 200, settings);
  },
  // An MCP server (RFC 9728), as far as clients have to know it before they sign in.
  'GET /.well-known/oauth-protected-resource/mcp': async ({ response, provider }) => reply(response, 200, {
    resource: `${provider.issuer}/mcp`, authorization_servers: [provider.issuer], scopes_supported: ['mail.read'],
  }),
  // The protected API: says whose token it was shown.
  'GET /api/whoami': async ({ request, response, provider }) => {
    const value = /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const token = await provider.AccessToken.find(value) ?? await provider.ClientCredentials.find(value);
    if (!token) {
      response.setHeader('www-authenticate', 'Bearer error="invalid_token"');
      return reply(response, 401, { error: 'invalid_token' });
    }
    return reply(response, 200, {
      subject: token.accountId ?? token.clientId, client: token.clientId, scope: token.scope ?? '', audience: token.aud ?? null,
    });
  },
};

// What oidc-provider keeps. Its own memory adapter forgets all but the newest 1,000 entries, so a long run of tests
// would lose grants; this one forgets nothing.
const stored = new Map();
const SECRET = new Set(['AccessToken', 'AuthorizationCode', 'ClientCredentials', 'DeviceCode', 'RefreshToken']);

class Memory {
  constructor(kind) {
    this.kind = kind;
  }

  async upsert(id, payload) {
    if (SECRET.has(this.kind) && !stored.has(`${this.kind}:${id}`)) issued.push({ kind: this.kind, value: id });
    stored.set(`${this.kind}:${id}`, payload);
  }

  async find(id) {
    return stored.get(`${this.kind}:${id}`);
  }

  async findByUserCode(userCode) {
    return [...stored].find(([key, payload]) => key.startsWith(`${this.kind}:`) && payload.userCode === userCode)?.[1];
  }

  async findByUid(uid) {
    return [...stored].find(([key, payload]) => key.startsWith(`${this.kind}:`) && payload.uid === uid)?.[1];
  }

  async consume(id) {
    stored.get(`${this.kind}:${id}`).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    stored.delete(`${this.kind}:${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of stored) {
      if (key.startsWith(`${this.kind}:`) && payload.grantId === grantId) stored.delete(key);
    }
  }
}

async function text(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function reply(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
