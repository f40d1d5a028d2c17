// A backend service written with oauth4webapi: discovery, private_key_jwt with
// ES384 and RS384, client_credentials, introspection and revocation. The keys
// come as JWKs in KEYS, by algorithm.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'

const issuer = new URL(process.env.ISSUER)
const keys = JSON.parse(process.env.KEYS)
const insecure = { [oauth.allowInsecureRequests]: true } // loopback

const as = await oauth
  .discoveryRequest(issuer, { ...insecure, algorithm: 'oidc' })
  .then((res) => oauth.processDiscoveryResponse(issuer, res))
assert.ok(as.token_endpoint_auth_methods_supported.includes('private_key_jwt'))
assert.deepEqual(as.token_endpoint_auth_signing_alg_values_supported, ['RS384', 'ES384'])
assert.ok(as.grant_types_supported.includes('client_credentials'))

const algorithms = {
  RS384: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-384' },
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
}
const client = { client_id: 'warehouse' }

for (const [alg, jwk] of Object.entries(keys)) {
  const key = await crypto.subtle.importKey('jwk', jwk, algorithms[alg], false, ['sign'])
  for (const [name, options] of Object.entries({
    'as the library does it': undefined,
    'as SMART wants it': {
      [oauth.modifyAssertion](header, claims) {
        header.typ = 'JWT'
        claims.aud = as.token_endpoint
        claims.exp = Math.floor(Date.now() / 1000) + 300
      },
    },
  })) {
    const auth = oauth.PrivateKeyJwt({ key, kid: jwk.kid }, options)
    const token = await oauth
      .clientCredentialsGrantRequest(as, client, auth, { scope: 'system/Patient.rs' }, insecure)
      .then((res) => oauth.processClientCredentialsResponse(as, client, res))
    assert.equal(token.scope, 'system/Patient.rs')
    assert.equal(token.token_type, 'bearer')
    assert.ok(token.expires_in > 0 && token.expires_in <= 300)

    const about = await oauth
      .introspectionRequest(as, client, auth, token.access_token, insecure)
      .then((res) => oauth.processIntrospectionResponse(as, client, res))
    assert.equal(about.active, true)
    assert.equal(about.client_id, 'warehouse')

    const data = await fetch(new URL('/fhir/north/Patient', issuer), { headers: { authorization: `Bearer ${token.access_token}` } })
    assert.equal(data.status, 403, 'a token without a patient opens nothing')

    await oauth.revocationRequest(as, client, auth, token.access_token, insecure).then((res) => oauth.processRevocationResponse(res))
    const after = await oauth
      .introspectionRequest(as, client, auth, token.access_token, insecure)
      .then((res) => oauth.processIntrospectionResponse(as, client, res))
    assert.equal(after.active, false)
    console.log(`${alg}, ${name}: good`)
  }

  const wrong = await oauth.clientCredentialsGrantRequest(as, client, oauth.PrivateKeyJwt({ key, kid: 'other' }), { scope: 'system/Patient.rs' }, insecure)
  assert.equal(wrong.status, 401)
  assert.equal((await wrong.json()).error, 'invalid_client')
}
