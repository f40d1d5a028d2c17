package records

import "math"

// Growth follows rounded medians of the WHO (to 2 years) and CDC (from 2 years)
// charts. A child keeps its place among its peers, with a little drift, so that
// its sizes and its percentiles agree.

// growthPoint is the median at an age: length or height, weight, head.
type growthPoint struct{ years, height, weight, head float64 }

var boys = []growthPoint{
	{0, 49.9, 3.3, 34.5}, {0.08, 54.7, 4.5, 37.3}, {0.17, 58.4, 5.6, 39.1}, {0.33, 63.9, 7.0, 41.6}, {0.5, 67.6, 7.9, 43.3}, {0.75, 72.0, 8.9, 45.0},
	{1, 75.7, 9.6, 46.1}, {1.5, 82.3, 10.9, 47.4}, {2, 87.1, 12.2, 48.3}, {3, 95.5, 14.3, 49.5}, {4, 102.5, 16.3, 50.2}, {5, 109.2, 18.4, 50.7},
	{6, 115.5, 20.7, 51.2}, {7, 121.9, 23.1, 51.6}, {8, 128, 25.6, 52}, {9, 133.5, 28.6, 52.3}, {10, 138.6, 32, 52.6}, {11, 143.5, 36, 53},
	{12, 149.1, 40.5, 53.4}, {13, 156.2, 45.6, 53.9}, {14, 163.8, 51, 54.4}, {15, 170.1, 56.3, 54.9}, {16, 173.4, 60.9, 55.3}, {17, 175.2, 64.6, 55.6}, {20, 176.8, 70.6, 56},
}

var girls = []growthPoint{
	{0, 49.1, 3.2, 33.9}, {0.08, 53.7, 4.2, 36.5}, {0.17, 57.1, 5.1, 38.3}, {0.33, 62.1, 6.4, 40.6}, {0.5, 65.7, 7.3, 42.2}, {0.75, 70.1, 8.2, 43.8},
	{1, 74, 8.9, 44.9}, {1.5, 80.7, 10.2, 46.2}, {2, 85.7, 11.5, 47.2}, {3, 94.2, 13.9, 48.5}, {4, 101, 15.9, 49.3}, {5, 107.9, 18, 50},
	{6, 115, 20.3, 50.5}, {7, 121.8, 22.8, 51}, {8, 127.8, 25.8, 51.4}, {9, 133.1, 29, 51.7}, {10, 138.2, 33, 52}, {11, 144.8, 37.2, 52.4},
	{12, 151.5, 41.8, 52.9}, {13, 157.1, 45.9, 53.4}, {14, 160.4, 49.6, 53.8}, {15, 161.8, 52.1, 54.1}, {16, 162.4, 53.9, 54.3}, {17, 162.8, 55.1, 54.5}, {20, 163.3, 58.4, 54.8},
}

// stature is a person's place among its peers, in standard deviations.
type stature struct{ height, weight, head float64 }

func drawStature(d dice) stature {
	height := d.normal(0, 0.9)
	return stature{height, 0.6*height + d.normal(0, 0.7), d.normal(0, 0.8)}
}

// size is what a scale and a tape measure say.
type size struct {
	height, weight, head float64
	// percentiles of the charts for children
	bmiForAge, weightForLength, headForAge float64
}

func (s size) bmi() float64 { return s.weight / (s.height / 100) / (s.height / 100) }

func median(chart []growthPoint, years float64) growthPoint {
	for i := 1; i < len(chart); i++ {
		a, b := chart[i-1], chart[i]
		if years <= b.years {
			f := (years - a.years) / (b.years - a.years)
			return growthPoint{years, a.height + f*(b.height-a.height), a.weight + f*(b.weight-a.weight), a.head + f*(b.head-a.head)}
		}
	}
	return chart[len(chart)-1]
}

// sizeAt gives a child's sizes and percentiles at an age in years.
func (s stature) sizeAt(years float64, female bool, wobble float64) size {
	chart := boys
	if female {
		chart = girls
	}
	m := median(chart, years)
	weight := s.weight + 0.15*wobble
	out := size{
		height: m.height * (1 + 0.042*s.height),
		weight: m.weight * math.Exp(0.13*weight),
		head:   m.head * (1 + 0.027*s.head),
	}
	// Weight given height: what is left of the weight once height has been allowed for.
	relative := math.Log(out.bmi()/(m.weight/(m.height/100)/(m.height/100))) / 0.1
	out.bmiForAge = percentile(relative)
	out.weightForLength = percentile(relative * 0.95)
	out.headForAge = percentile(s.head)
	return out
}

func percentile(deviations float64) float64 {
	return clamp(50*(1+math.Erf(deviations/math.Sqrt2)), 0.5, 99.5)
}
