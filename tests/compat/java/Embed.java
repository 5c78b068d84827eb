import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** The JDK's client with its defaults: over plain HTTP it offers to upgrade to h2c. */
public class Embed {
  public static void main(String[] arguments) throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    // Twice, because the second request uses the connection that the first one negotiated.
    for (int i = 0; i < 2; i++) {
      HttpRequest request =
          HttpRequest.newBuilder(URI.create(System.getenv("OPENAI_BASE_URL") + "/embeddings"))
              .header("Authorization", "Bearer " + System.getenv("OPENAI_API_KEY"))
              .header("Content-Type", "application/json")
              .POST(HttpRequest.BodyPublishers.ofString(arguments[0]))
              .build();
      HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
      if (response.statusCode() != 200) {
        throw new IllegalStateException(response.statusCode() + " " + response.body());
      }
      System.out.println(response.body().replace("\n", ""));
    }
  }
}
