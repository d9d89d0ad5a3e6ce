# What a team adds to the configuration of its hub.
c.JupyterHub.template_vars = {"announcement": "Physics 1: bring your own data."}
c.LibcloudSpawner.default_url = "/tree"
