// A repository of Medplum's that keeps its resources in PostgreSQL. It stores and
// loads rows; what is found among them, and how, is MemoryRepository's.

import pg from 'pg';
import { formatSearchQuery, OperationOutcomeError, serverError } from '@medplum/core';
import { MemoryRepository } from '@medplum/fhir-router';

const schema = `
CREATE TABLE IF NOT EXISTS resource (type text, id text, deleted boolean NOT NULL DEFAULT false, body jsonb NOT NULL, PRIMARY KEY (type, id));
CREATE TABLE IF NOT EXISTS version (n bigserial PRIMARY KEY, type text, id text, body jsonb NOT NULL);
CREATE INDEX IF NOT EXISTS version_of ON version (type, id);
CREATE INDEX IF NOT EXISTS resource_content ON resource USING gin (body jsonb_path_ops);`;

export async function openRows(connectionString) {
  const pool = new pg.Pool({ connectionString, max: 8 });
  pool.on('error', () => {}); // an idle connection was cut; the next query says so
  await pool.query(schema);
  return pool;
}

export class RowRepository extends MemoryRepository {
  constructor(rows, base) {
    super();
    this.rows = rows;
    this.base = base;
  }

  async createResource(resource, options) {
    const made = await super.createResource(resource, options);
    await this.#query('INSERT INTO resource (type, id, body) VALUES ($1, $2, $3) ON CONFLICT (type, id) DO UPDATE SET body = $3, deleted = false', [made.resourceType, made.id, made]);
    await this.#query('INSERT INTO version (type, id, body) VALUES ($1, $2, $3)', [made.resourceType, made.id, made]);
    return made;
  }

  async updateResource(resource, options) {
    await this.#load(resource.resourceType, resource.id);
    return super.updateResource(resource, options);
  }

  async readResource(type, id) {
    await this.#load(type, id);
    return super.readResource(type, id);
  }

  async deleteResource(type, id) {
    await this.#load(type, id);
    await super.deleteResource(type, id);
    await this.#query('UPDATE resource SET deleted = true WHERE type = $1 AND id = $2', [type, id]);
  }

  // #query says that the server failed when PostgreSQL does: the router takes any
  // other error for a mistake of whoever asked (400).
  async #query(...statement) {
    try {
      return await this.rows.query(...statement);
    } catch (err) {
      throw new OperationOutcomeError(serverError(err));
    }
  }

  async search(request) {
    const { rows } = await this.#query(...this.#rowsOf(request));
    this.resources.set(request.resourceType, new Map(rows.map(({ body }) => [body.id, body])));
    const bundle = await super.search(request);
    const offset = request.offset ?? 0;
    const link = (relation, at) => ({ relation, url: `${this.base}${request.resourceType}${formatSearchQuery({ ...request, offset: at })}` });
    bundle.link = [link('self', offset), link('first', 0)];
    if (request.count && offset + request.count < bundle.total) {
      bundle.link.push(link('next', offset + request.count));
    }
    for (const entry of bundle.entry ?? []) {
      entry.fullUrl = `${this.base}${entry.resource.resourceType}/${entry.resource.id}`;
      entry.search = { mode: 'match' };
    }
    return bundle;
  }

  // #rowsOf leaves out rows that cannot match: whoever is asked for stands in the text.
  #rowsOf(request) {
    const values = [request.resourceType];
    let text = 'SELECT body FROM resource WHERE type = $1 AND NOT deleted';
    for (const { code, operator, value } of request.filters ?? []) {
      if ((code === 'patient' || code === 'subject') && operator === 'eq' && !value.includes(',')) {
        values.push(`%Patient/${value.split('/').pop()}%`);
        text += ` AND body::text LIKE $${values.length}`;
      }
    }
    return [`${text} ORDER BY id`, values];
  }

  async #load(type, id) {
    const current = await this.#query('SELECT body FROM resource WHERE type = $1 AND id = $2 AND NOT deleted', [type, id]);
    this.resources.set(type, new Map(current.rows.map(({ body }) => [id, body])));
    const versions = await this.#query('SELECT body FROM version WHERE type = $1 AND id = $2 ORDER BY n', [type, id]);
    this.history.set(type, new Map([[id, versions.rows.map(({ body }) => body)]]));
  }
}
