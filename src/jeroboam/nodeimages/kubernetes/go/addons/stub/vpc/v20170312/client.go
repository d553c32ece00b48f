// Package v20170312 lets flannel be compiled without a vendor's SDK. Its back end for that vendor's cloud refuses to
// work; every other one is whole.
package v20170312

import "errors"

var errAbsent = errors.New("this flannel is built without the back end for this cloud")

type (
	Client struct{}

	Filter struct {
		Name   *string
		Values []*string
	}

	Route struct {
		RouteId              *uint64
		DestinationCidrBlock *string
		GatewayType          *string
		GatewayId            *string
		RouteType            *string
		Enabled              *bool
	}

	RouteTable struct {
		RouteTableId *string
		RouteSet     []*Route
	}

	Request struct {
		Filters      []*Filter
		RouteTableId *string
		Routes       []*Route
	}

	Tables struct{ RouteTableSet []*RouteTable }

	Answer struct{ Response *Tables }
)

func NewClientWithSecretId(id, key, region string) (*Client, error) { return &Client{}, nil }

func NewDescribeRouteTablesRequest() *Request { return &Request{} }
func NewDeleteRoutesRequest() *Request        { return &Request{} }
func NewCreateRoutesRequest() *Request        { return &Request{} }

func (*Client) DescribeRouteTables(*Request) (*Answer, error) { return nil, errAbsent }
func (*Client) DeleteRoutes(*Request) (*Answer, error)        { return nil, errAbsent }
func (*Client) CreateRoutes(*Request) (*Answer, error)        { return nil, errAbsent }
