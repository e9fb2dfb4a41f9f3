package admin

import (
	"embed"
	"io/fs"
	"net/http"
)

// The dashboard: files that the browser loads from here, and nothing from elsewhere.
//
//go:embed dashboard
var dashboardFiles embed.FS

// pagePolicy lets a page load and request what is on this listener, and nothing else. Nothing
// inside a page is a script or a style, so that what a client has named itself cannot become one.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

func handleDashboard(mux *http.ServeMux, k csrfKey) {
	files, err := fs.Sub(dashboardFiles, "dashboard")
	if err != nil {
		panic("admin: " + err.Error()) // the directory is in the program
	}
	serve := http.StripPrefix("/dashboard/", http.FileServerFS(files))
	mux.HandleFunc("GET /dashboard/", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cache-Control", "no-cache") // another version of the server has others
		serve.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/dashboard/", http.StatusFound)
	})
	mux.HandleFunc("GET /csrf", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		writeJSON(w, map[string]any{"token": string(k), "rights": operatorOf(r.Context()).Rights()})
	})
}
