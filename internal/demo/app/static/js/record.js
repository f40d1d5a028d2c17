// Reading the record: searches that follow every page, references, names.

const ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";
const PAGES = 200; // a server that pages for ever must not keep us for ever

export class Record {
  constructor(client, system) {
    this.client = client;
    this.system = system;
    this.patientId = client.patient.id;
    this.base = client.state.serverUrl.replace(/\/+$/, "");
    this.known = new Map();
  }

  // own says whether the person at the browser is the patient.
  get own() {
    const user = this.client.getFhirUser();
    return !user || user.endsWith(`Patient/${this.patientId}`);
  }

  // clinician says whether the person at the browser works there.
  get clinician() {
    return /(^|\/)Practitioner\/[^/]+$/.test(this.client.getFhirUser() ?? "");
  }

  // search gives all matches of the type, from all pages.
  async search(type, params) {
    const query = new URLSearchParams({ patient: this.patientId, ...params });
    const found = [];
    let url = `${type}?${query}`;
    for (let page = 0; url && page < PAGES; page++) {
      const bundle = await this.client.request(url);
      for (const entry of bundle.entry ?? []) {
        if (entry.resource?.resourceType === type) found.push(entry.resource);
      }
      url = bundle.link?.find((l) => l.relation === "next")?.url;
      // The token goes with the request: only to the server that gave it.
      if (url && new URL(url, `${this.base}/`).origin !== new URL(this.base).origin) throw new Error("next page is elsewhere");
    }
    return found;
  }

  // nameOf says whom or what a reference means, with words for when it cannot.
  async nameOf(ref, holder, fallback) {
    if (!ref || masked(ref)) return ref ? "another person" : fallback;
    if (ref.display) return ref.display;
    const target = await this.follow(ref, holder);
    return (target && titleOf(target)) || fallback;
  }

  // follow reads what a reference points to, or gives null.
  async follow(ref, holder) {
    const text = ref?.reference ?? "";
    if (text.startsWith("#")) return holder?.contained?.find((c) => c.id === text.slice(1)) ?? null;
    const path = text.startsWith(`${this.base}/`) ? text.slice(this.base.length + 1) : text;
    if (!/^[A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.test(path)) return null;
    if (!this.known.has(path)) this.known.set(path, this.client.request(path).catch(() => null));
    return this.known.get(path);
  }

  // isPatient says whether a reference means the patient of this record.
  isPatient(ref) {
    const text = ref?.reference ?? "";
    return text === `Patient/${this.patientId}` || text === `${this.base}/Patient/${this.patientId}`;
  }
}

// masked says whether a reference was hidden because it names someone else.
export function masked(ref) {
  const marked = (e) => e?.extension?.some((x) => x.url === ABSENT) ?? false;
  return marked(ref) || marked(ref._reference) || marked(ref._display) || (!ref.reference && !ref.display && !ref.identifier);
}

export function concept(c) {
  return c?.text || c?.coding?.find((x) => x.display)?.display || c?.coding?.[0]?.code || "";
}

export function humanName(names) {
  const name = names?.find((n) => n.use === "official") ?? names?.find((n) => n.use === "usual") ?? names?.[0];
  if (!name) return { full: "", given: "" };
  const full = name.text || [...(name.prefix ?? []), ...(name.given ?? []), name.family].filter(Boolean).join(" ");
  return { full, given: name.given?.[0] ?? full };
}

function titleOf(r) {
  switch (r.resourceType) {
    case "Medication":
      return concept(r.code);
    case "Organization":
    case "Location":
      return r.name ?? "";
    default:
      return Array.isArray(r.name) ? humanName(r.name).full : (r.name ?? "");
  }
}
