// Package cloudresourcemanager has the names that step-ca's GCP provisioner mentions. None of it is ever called here.
package cloudresourcemanager

import (
	"context"
	"errors"
)

var errNone = errors.New("built without the Google API")

type Service struct{ Projects *ProjectsService }

func NewService(context.Context) (*Service, error) { return nil, errNone }

type ProjectsService struct{}

func (*ProjectsService) GetAncestry(string, *GetAncestryRequest) *ProjectsGetAncestryCall { return nil }

type GetAncestryRequest struct{}

type ProjectsGetAncestryCall struct{}

func (c *ProjectsGetAncestryCall) Context(context.Context) *ProjectsGetAncestryCall { return c }

func (c *ProjectsGetAncestryCall) Do() (*GetAncestryResponse, error) { return nil, errNone }

type GetAncestryResponse struct{ Ancestor []*Ancestor }

type Ancestor struct{ ResourceId *ResourceId }

type ResourceId struct{ Id, Type string }
