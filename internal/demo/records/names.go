package records

// Made-up people: common names, drawn together by chance. Telephone numbers are
// of the 555-01xx range and mail domains of example.org, both kept for fiction.

var givenFemale = []string{"Amelia", "Beatrice", "Camila", "Dorothy", "Elena", "Fatima", "Gloria", "Hannah", "Imani", "Jade", "Keiko", "Lucia", "Mei", "Naomi", "Olivia", "Paula", "Quinn", "Rosa", "Stella", "Teresa", "Ursula", "Violet", "Wanda", "Ximena", "Yara", "Zoe", "Ingrid", "Leila", "Marta", "Chloé"}

var givenMale = []string{"Aaron", "Bruno", "Caleb", "Diego", "Elias", "Felix", "Gavin", "Hugo", "Isaac", "Jamal", "Kenji", "Liam", "Mateo", "Nolan", "Omar", "Pavel", "Quentin", "Rafael", "Samuel", "Tobias", "Umar", "Victor", "Wesley", "Xavier", "Yusuf", "Zane", "Ivan", "Lars", "Marcus", "José"}

var families = []string{"Abbott", "Benally", "Castillo", "Dubois", "Eriksen", "Fontaine", "Garza", "Hollis", "Ibarra", "Jensen", "Kowalski", "Lockhart", "Mbeki", "Nakamura", "O'Rourke", "Petrov", "Quintero", "Rahman", "Sandoval", "Thornton", "Underhill", "Valdez", "Winslow", "Xiong", "Yazzie", "Zeller", "Ashford", "Begay", "Caldwell", "Dominguez", "Ellery", "Farrow", "Grijalva", "Hathaway", "Ilves", "Jurado", "Kessler", "Lattimore", "Mendoza", "Núñez", "Osei", "Pruitt", "Ramírez", "Sorensen", "Tsosie", "Vance", "Whitaker", "Yoon"}

type town struct{ city, postal string }

var towns = []town{{"Tucson", "85701"}, {"Mesa", "85201"}, {"Tempe", "85281"}, {"Flagstaff", "86001"}, {"Yuma", "85364"}, {"Prescott", "86301"}, {"Sierra Vista", "85635"}, {"Chandler", "85225"}}

var streets = []string{"Ocotillo Lane", "Palo Verde Drive", "Mesquite Street", "Agave Court", "Cholla Way", "Ironwood Avenue", "Sagebrush Road", "Desert Willow Place", "Quail Run", "Creosote Trail", "Jojoba Street", "Saguaro Circle"}

// clinicNames name the practices; a set with more clinics numbers them.
var clinicNames = []string{"Ocotillo Family Practice", "Palo Verde Health Center", "Mesquite Primary Care", "Agave Street Clinic", "Ironwood Medical Group", "Creosote Community Health", "Desert Willow Clinic", "Quail Run Health Center"}

// omb is one race or ethnicity category with its text.
type omb struct{ category code }

const cdcRace = "urn:oid:2.16.840.1.113883.6.238"

var races = []omb{
	{code{cdcRace, "2106-3", "White"}},
	{code{cdcRace, "2106-3", "White"}},
	{code{cdcRace, "2106-3", "White"}},
	{code{cdcRace, "2054-5", "Black or African American"}},
	{code{cdcRace, "2028-9", "Asian"}},
	{code{cdcRace, "1002-5", "American Indian or Alaska Native"}},
}

var (
	hispanic    = omb{code{cdcRace, "2135-2", "Hispanic or Latino"}}
	notHispanic = omb{code{cdcRace, "2186-5", "Not Hispanic or Latino"}}
)

var (
	english = code{"urn:ietf:bcp:47", "en", "English"}
	spanish = code{"urn:ietf:bcp:47", "es", "Spanish"}
)

// jobTexts are occupations given in words, as most charts have them.
var jobTexts = []string{"Elementary school teacher", "Electrician", "Retail manager", "Software tester", "Truck driver", "Bookkeeper", "Line cook", "Landscape gardener", "Bus driver", "Librarian", "Warehouse worker", "Dental assistant", "Carpenter", "Receptionist", "Farm worker", "Surveyor"}
