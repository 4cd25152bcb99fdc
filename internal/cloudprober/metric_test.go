package cloudprober

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var metrics = []struct {
	name, line string
	want       Metric
	series     map[string]float64
}{
	{"a number", "login_latency_msec 123.456", Metric{Name: "login_latency_msec", Value: Float(123.456)}, map[string]float64{"login_latency_msec": 123.456}},
	{"space around, CRLF", " \trows \t 7 \r\n", Metric{Name: "rows", Value: Float(7)}, map[string]float64{"rows": 7}},
	{"less than zero", "a -.5e3", Metric{Name: "a", Value: Float(-500)}, map[string]float64{"a": -500}},
	{"a dot first", "a .5", Metric{Name: "a", Value: Float(.5)}, map[string]float64{"a": .5}},
	{"very large", "a 1e300", Metric{Name: "a", Value: Float(1e300)}, map[string]float64{"a": 1e300}},
	{"labels, quoted or not", `rows{table=a-b_c.1,db="x y",empty=} 7`, Metric{"rows", []Label{{"table", "a-b_c.1"}, {"db", "x y"}, {"empty", ""}}, Float(7)}, map[string]float64{`rows{table="a-b_c.1",db="x y",empty=""}`: 7}},
	{"space in labels, a comma at the end", `rows { table = "a" , db = b , } 7`, Metric{"rows", []Label{{"table", "a"}, {"db", "b"}}, Float(7)}, map[string]float64{`rows{table="a",db="b"}`: 7}},
	{"no labels in braces, no space", "rows{}7", Metric{Name: "rows", Value: Float(7)}, map[string]float64{"rows": 7}},
	{"braces, commas and quotes in a label", `rows{table="a}{,=\"b\"\\ \n\x"} 7`, Metric{"rows", []Label{{"table", "a}{,=\"b\"\\ \n\\x"}}, Float(7)}, map[string]float64{`rows{table="a}{,=\"b\"\\ \n\\x"}`: 7}},
	{"a name that is none of Prometheus'", `9-ré:x{2x=1,_2x=2} 1`, Metric{"9-ré:x", []Label{{"2x", "1"}, {"_2x", "2"}}, Float(1)}, map[string]float64{`_9_r_:x{_2x="1",_2x_="2"}`: 1}},
	{"a string", `version "1.2 \"b\"\\"`, Metric{Name: "version", Value: Text(`1.2 "b"\`)}, map[string]float64{`version{val="1.2 \"b\"\\"}`: 1}},
	{"an empty string, and a label val", `version{val=x} ""`, Metric{"version", []Label{{"val", "x"}}, Text("")}, map[string]float64{`version{val_="x",val=""}`: 1}},
	{"not UTF-8", "v \"a\xff\"", Metric{Name: "v", Value: Text("a\xff")}, map[string]float64{`v{val="a` + "\uFFFD" + `"}`: 1}},
	{"a map", "codes map:code,200:7,a:b:-1.5", Metric{Name: "codes", Value: Map{"code", map[string]float64{"200": 7, "a:b": -1.5}}}, map[string]float64{`codes{code="200"}`: 7, `codes{code="a:b"}`: -1.5}},
	{"a map with labels and a key in quotes", `codes{a=b,code=c} map:code,":1`, Metric{"codes", []Label{{"a", "b"}, {"code", "c"}}, Map{"code", map[string]float64{`"`: 1}}}, map[string]float64{`codes{a="b",code_="c",code="\""}`: 1}},
	{"an empty map", "codes map:code", Metric{Name: "codes", Value: Map{"code", map[string]float64{}}}, map[string]float64{}},
	{
		"a distribution", "op dist:sum:899|count:221|lb:-Inf,0.5,2,7.5|bc:34,54,121,12",
		Metric{Name: "op", Value: Distribution{899, 221, []float64{math.Inf(-1), .5, 2, 7.5}, []int64{34, 54, 121, 12}}},
		map[string]float64{"op_sum": 899, "op_count": 221, `op_bucket{le="0.5"}`: 34, `op_bucket{le="2"}`: 88, `op_bucket{le="7.5"}`: 209, `op_bucket{le="+Inf"}`: 221},
	},
	{
		"a distribution with labels, of one bucket", "op{a=b} dist:count:0|bc:0|lb:0|sum:0",
		Metric{"op", []Label{{"a", "b"}}, Distribution{0, 0, []float64{0}, []int64{0}}},
		map[string]float64{`op_sum{a="b"}`: 0, `op_count{a="b"}`: 0, `op_bucket{a="b",le="+Inf"}`: 0},
	},
}

func TestMetric(t *testing.T) {
	for _, tt := range metrics {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseMetric(tt.line)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(tt.series, maps.Collect(got.Series())); diff != "" {
				t.Errorf("series (-want +got)\n%s", diff)
			}
			again, err := ParseMetric(got.String())
			if diff := cmp.Diff(got, again); diff != "" || err != nil {
				t.Errorf("%s reads otherwise: %v (-was +is)\n%s", got, err, diff)
			}
			prometheusReads(t, got)
		})
	}
}

func TestSeriesOfADistributionAreInOrder(t *testing.T) {
	m, err := ParseMetric("op dist:sum:3|count:3|lb:-Inf,9,10|bc:1,1,1")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name := range m.Series() {
		got = append(got, name)
	}
	if want := []string{"op_sum", "op_count", `op_bucket{le="9"}`, `op_bucket{le="10"}`, `op_bucket{le="+Inf"}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// prometheusReads has Prometheus' own parser read the series of m: as many, and each
// of its value.
func prometheusReads(t *testing.T, m Metric) {
	t.Helper()
	want := maps.Collect(m.Series())
	var text strings.Builder
	for name, value := range m.Series() {
		fmt.Fprintf(&text, "%s %s\n", name, strconv.FormatFloat(value, 'g', -1, 64))
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text.String()))
	if err != nil {
		t.Fatalf("Prometheus does not read %q: %v", text.String(), err)
	}
	got := make(map[string]float64)
	for name, family := range families {
		for _, metric := range family.Metric {
			var labels []Label
			for _, l := range metric.Label {
				labels = append(labels, Label{l.GetName(), l.GetValue()})
			}
			series := name
			if len(labels) > 0 {
				series += braced(labels)
			}
			got[series] = metric.Untyped.GetValue()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Prometheus reads (-want +got)\n%s", diff)
	}
}

func TestBadMetrics(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"nothing", "", `"" is no metric: it has a name and no value`},
		{"a name only", "rows", `"rows" is no metric: it has a name and no value`},
		{"a name and space", "rows ", `"rows " is no metric: it has a name and no value`},
		{"no name", "{a=b} 7", `"{a=b} 7" is no metric: it has no name`},
		{"no value behind labels", "rows{a=b} ", `"rows{a=b} " is no metric: it has no value`},
		{"a quote in the name", `"rows" 7`, `""rows" 7" is no metric: there is a character in its name that is of no name`},
		{"success", "success 1", `"success 1" is no metric: cloudprober has a metric of that name itself`},
		{"total", "total{a=b} 1", `"total{a=b} 1" is no metric: cloudprober has a metric of that name itself`},
		{"latency", "latency 1", `"latency 1" is no metric: cloudprober has a metric of that name itself`},
		{"a sign", "rows +3", `"rows +3" is no metric: "+3" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`},
		{"NaN", "rows NaN", `"rows NaN" is no metric: "NaN" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`},
		{"infinite", "rows -Inf", `"rows -Inf" is no metric: "-Inf" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`},
		{"too large", "rows 1e999", `"rows 1e999" is no metric: "1e999" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`},
		{"words", "hello, world", `"hello, world" is no metric: "world" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`},
		{"two numbers", "rows 1 2", `"rows 1 2" is no metric: "1 2" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`},
		{"a list of numbers", "rows 1,2", `"rows 1,2" is no metric: "1,2" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`},
		{"an open brace", "rows{a=b 7", `"rows{a=b 7" is no metric: what follows the value of its label a is neither a comma nor a brace (values of other than letters, digits, -, _ and . must be in quotes)`},
		{"an unquoted slash", "rows{a=/b} 7", `"rows{a=/b} 7" is no metric: what follows the value of its label a is neither a comma nor a brace (values of other than letters, digits, -, _ and . must be in quotes)`},
		{"a label without value", "rows{a} 7", `"rows{a} 7" is no metric: its labels are not as in {name=word,other="some words"}`},
		{"a label without name", "rows{=a} 7", `"rows{=a} 7" is no metric: its labels are not as in {name=word,other="some words"}`},
		{"a label twice", "rows{a=b,a=c} 7", `"rows{a=b,a=c} 7" is no metric: it has the label a twice`},
		{"an open quote in labels", `rows{a="b} 7`, `"rows{a="b} 7" is no metric: a quote is not closed`},
		{"an open quote", `rows "b`, `"rows "b" is no metric: a quote is not closed`},
		{"a backslash last", `rows "b\`, `"rows "b\" is no metric: a quote is not closed`},
		{"more than a string", `rows "b" c`, `"rows "b" c" is no metric: something follows the closing quote`},
		{"a map without label", "rows map:", `"rows map:" is no metric: the map has no label: map:label,key:value,…`},
		{"a map without colon", "rows map:code,200", `"rows map:code,200" is no metric: "200" in the map is not key:value`},
		{"a map of words", "rows map:code,200:x", `"rows map:code,200:x" is no metric: key "200" of the map: "x" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`},
		{"a key twice", "rows map:code,200:1,200:2", `"rows map:code,200:1,200:2" is no metric: the map has the key "200" twice`},
		{"a distribution without sum", "d dist:count:1|lb:0|bc:1", `"d dist:count:1|lb:0|bc:1" is no metric: sum of the distribution: "" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`},
		{"without count", "d dist:sum:1|lb:0|bc:1", `"d dist:sum:1|lb:0|bc:1" is no metric: count of the distribution: "" is no whole number`},
		{"without bounds", "d dist:sum:1|count:1|bc:1", `"d dist:sum:1|count:1|bc:1" is no metric: lb of the distribution: "": the bounds are not ascending numbers`},
		{"without buckets", "d dist:sum:1|count:1|lb:1", `"d dist:sum:1|count:1|lb:1" is no metric: bc of the distribution: "": the buckets are not of whole numbers that sum up to the count`},
		{"bounds not in order", "d dist:sum:1|count:1|lb:2,1|bc:1,0", `"d dist:sum:1|count:1|lb:2,1|bc:1,0" is no metric: lb of the distribution: "1": the bounds are not ascending numbers`},
		{"too few buckets", "d dist:sum:1|count:1|lb:1,2|bc:1", `"d dist:sum:1|count:1|lb:1,2|bc:1" is no metric: the distribution has 2 bounds and 1 buckets, and 0 of its count are in no bucket`},
		{"a count of more", "d dist:sum:1|count:3|lb:1,2|bc:1,1", `"d dist:sum:1|count:3|lb:1,2|bc:1,1" is no metric: the distribution has 2 bounds and 2 buckets, and 1 of its count are in no bucket`},
		{"a count of less", "d dist:sum:1|count:1|lb:1,2|bc:1,1", `"d dist:sum:1|count:1|lb:1,2|bc:1,1" is no metric: bc of the distribution: "1": the buckets are not of whole numbers that sum up to the count`},
		{"another field", "d dist:sum:1|mean:1", `"d dist:sum:1|mean:1" is no metric: "mean:1" in the distribution: it has sum, count, lb and bc, each once`},
		{"long, and not to be seen", "x\x1b " + strings.Repeat("y", 1000), `"x\x1b ` + strings.Repeat("y", 77) + `…" is no metric: there is a character in its name that is of no name`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseMetric(tt.line)
			if err == nil {
				t.Fatalf("got %v, want an error", m)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}

func TestMetricsOfAnOutput(t *testing.T) {
	got := Metrics("a 1\r\n\n  \nhello\nb{x=y} 2\nc +3\nno\nnor this\na 4\ncodes map:code,1:1,2:2,3:3\nd 5\nnot read", 4)
	var errs []string
	for _, err := range got.Errs {
		errs = append(errs, err.Error())
	}
	if diff := cmp.Diff(map[string]float64{"a": 4, `b{x="y"}`: 2, `codes{code="1"}`: 1, `codes{code="2"}`: 2}, got.Series); diff != "" {
		t.Errorf("series (-want +got)\n%s", diff)
	}
	if got.Bad != 4 || got.More != 3 {
		t.Errorf("bad %d, more %d; want 4, 3", got.Bad, got.More)
	}
	if diff := cmp.Diff([]string{
		`line 4: "hello" is no metric: it has a name and no value`,
		`line 6: "c +3" is no metric: "+3" is no number (as in 1.5 or -3e2), "text", map:… or dist:…`,
		`line 7: "no" is no metric: it has a name and no value`,
	}, errs); diff != "" {
		t.Errorf("errors (-want +got)\n%s", diff)
	}
}

func FuzzParseMetric(f *testing.F) {
	for _, tt := range metrics {
		f.Add(tt.line)
	}
	f.Add("rows +3")
	f.Fuzz(func(t *testing.T, line string) {
		m, err := ParseMetric(line)
		if err != nil {
			return
		}
		again, err := ParseMetric(m.String())
		if diff := cmp.Diff(m, again); diff != "" || err != nil {
			t.Errorf("%q, of %q, reads otherwise: %v (-was +is)\n%s", m.String(), line, err, diff)
		}
		prometheusReads(t, m)
	})
}

func TestParseSeries(t *testing.T) {
	for _, tt := range []struct {
		series, name string
		labels       []Label
		wrong        string // in the error
	}{
		{"rows", "rows", nil, ""},
		{"http.status_code", "http_status_code", nil, ""},
		{"größe /var", "gr__e__var", nil, ""},
		{"5xx", "5xx", nil, ""},
		{`rows{table="a \"}b\"",le="0.5"}`, "rows", []Label{{"table", `a "}b"`}, {"le", "0.5"}}, ""},
		{`rows{process="a",exported_process="b",check="c"}`, "rows", []Label{{"exported_exported_process", "a"}, {"exported_process", "b"}, {"check", "c"}}, ""},
		{"rows{", "", nil, `"rows{" is no name of a metric: its labels are not`},
		{`rows{a="b"} 7`, "", nil, "something follows its labels"},
	} {
		name, labels, err := ParseSeries(tt.series, "process")
		if name != tt.name || !slices.Equal(labels, tt.labels) || (err != nil) != (tt.wrong != "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: got %q, %v, error %v", tt.series, name, labels, err)
		}
	}
	for series := range (Metric{Name: "a", Labels: []Label{{"1 b", "x\n\\\""}}, Value: Map{Label: "c", Values: map[string]float64{"d,": 1}}}).Series() {
		if name, labels, err := ParseSeries(series); err != nil || name != "a" || len(labels) != 2 || labels[0].Value != "x\n\\\"" || labels[1].Value != "d," {
			t.Errorf("%s: got %q, %v, error %v", series, name, labels, err)
		}
	}
}
