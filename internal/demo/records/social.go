package records

// smoking is a smoking status of US Core's value set.
type smoking struct{ code code }

var (
	neverSmoked   = smoking{sct("266919005", "Never smoked tobacco")}
	formerSmoker  = smoking{sct("8517006", "Ex-smoker")}
	dailySmoker   = smoking{sct("449868002", "Smokes tobacco daily")}
	someDaySmoker = smoking{sct("428041000124106", "Occasional tobacco smoker")}
)

func drawSmoking(d dice, p *plan) smoking {
	f := d.Float64()
	switch {
	case p.age(p.world.today) < 17 || f < 0.62:
		return neverSmoked
	case f < 0.86:
		return formerSmoker
	case f < 0.96:
		return dailySmoker
	}
	return someDaySmoker
}
