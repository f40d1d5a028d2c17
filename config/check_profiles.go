package config

// checkProfiles reads the files of profiles and asks the part that understands
// them, so that a mistake is told at start and not with the first request.
func (c *Config) checkProfiles(r *report, env environment) {
	const list = "profile_files"
	c.Profiles = map[string][]byte{}
	for i := range c.ProfileFiles {
		if c.ProfileFiles[i] == "" { // reported while reading
			return
		}
		c.ProfileFiles[i] = env.path(c.ProfileFiles[i])
		path := c.ProfileFiles[i]
		if _, twice := c.Profiles[path]; twice {
			r.add(item(list, i), "stands there twice; remove one")
			return
		}
		data, err := env.readFile(path, maxFile)
		if err != nil {
			r.add(item(list, i), "cannot be read; create the file %s or correct the path", path)
			return
		}
		c.Profiles[path] = data
	}
	if env.more.Profiles == nil {
		return
	}
	known, err := env.more.Profiles(c.Profiles)
	if err != nil {
		r.add(list, "%v", err)
		return
	}
	for i, s := range c.Sources {
		if s.Profile != "" && !known(s.Profile) {
			r.add(item("sources", i)+".profile", "there is no profile %q; see docs/upstreams.md, or portico probe", s.Profile)
		}
	}
}
