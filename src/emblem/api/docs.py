"""The interactive page at /docs: Swagger UI from its own wheel, so that it works offline."""

from swagger_ui_bundle import swagger_ui_path

SWAGGER_UI = swagger_ui_path

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Emblem: the API</title>
<script>
// The links below are relative, so that they work behind a proxy's prefix: none from /docs/.
if (location.pathname.endsWith("/")) location.replace(location.pathname.replace(/\\/+$/, ""));
</script>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" href="docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", tryItOutEnabled: true,
  persistAuthorization: false, validatorUrl: null});
</script>
</body>
</html>
"""
