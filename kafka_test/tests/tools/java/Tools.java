import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs main classes of Kafka's command-line tools, unmodified, one after the other in one JVM, because a JVM for each costs seconds.
 *
 * <p>On standard input a request is: number of strings (int), and strings as length (int) and UTF-8: the main class, what it finds on its
 * standard input, its arguments. The answer on standard output is: exit status (int), what it wrote to standard output, what it wrote
 * to standard error. The end of the input ends the JVM.
 *
 * <p>A tool has a thread of its own. It ends as its own JVM would: by returning, by an exception, or by {@code Exit.exit}, which never
 * returns to it; then its shutdown hooks run.
 */
public final class Tools {
    private static final int LIMIT_SECONDS = 90;
    /** Status of a tool that did not end in time; what its threads do is then on its standard error. */
    private static final int DID_NOT_END = 124;

    private final CompletableFuture<Integer> status = new CompletableFuture<>();
    private final List<Runnable> shutdownHooks = new CopyOnWriteArrayList<>();

    public static void main(String[] unused) throws IOException {
        DataInputStream requests = new DataInputStream(System.in);
        DataOutputStream answers = new DataOutputStream(new FileOutputStream(FileDescriptor.out));
        PrintStream ownErrors = System.err;
        System.setOut(ownErrors);
        while (true) {
            String[] strings;
            try {
                strings = new String[requests.readInt()];
            } catch (EOFException end) {
                Runtime.getRuntime().halt(0);
                return;
            }
            for (int i = 0; i < strings.length; i++) {
                strings[i] = new String(requests.readNBytes(requests.readInt()), StandardCharsets.UTF_8);
            }
            String[] arguments = new String[strings.length - 2];
            System.arraycopy(strings, 2, arguments, 0, arguments.length);

            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            System.setIn(new ByteArrayInputStream(strings[1].getBytes(StandardCharsets.UTF_8)));
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            int status = new Tools().run(strings[0], arguments);
            System.out.flush();
            System.err.flush();
            System.setOut(ownErrors);
            System.setErr(ownErrors);

            ByteArrayOutputStream answer = new ByteArrayOutputStream();
            DataOutputStream fields = new DataOutputStream(answer);
            fields.writeInt(status);
            for (ByteArrayOutputStream stream : List.of(out, err)) {
                fields.writeInt(stream.size());
                stream.writeTo(fields);
            }
            answer.writeTo(answers);
            answers.flush();
        }
    }

    private int run(String mainClass, String[] arguments) {
        Exit.setExitProcedure(this::exit);
        Exit.setHaltProcedure(this::exit);
        Exit.setShutdownHookAdder((name, hook) -> shutdownHooks.add(hook));
        Thread tool = new Thread(() -> callMain(mainClass, arguments), "main");
        tool.setDaemon(true);
        tool.start();
        try {
            int code = status.get(LIMIT_SECONDS, TimeUnit.SECONDS);
            shutdownHooks.forEach(Runnable::run);
            return code;
        } catch (TimeoutException late) {
            for (StackTraceElement frame : tool.getStackTrace()) {
                System.err.println("\tat " + frame);
            }
            return DID_NOT_END;
        } catch (Exception other) {
            throw new IllegalStateException(other);
        }
    }

    private void callMain(String mainClass, String[] arguments) {
        try {
            Class.forName(mainClass).getMethod("main", String[].class).invoke(null, (Object) arguments);
            status.complete(0);
        } catch (Throwable thrown) {
            Throwable cause = thrown.getCause() == null ? thrown : thrown.getCause();
            System.err.print("Exception in thread \"main\" ");
            cause.printStackTrace();
            status.complete(1);
        }
    }

    /** As System.exit: does not return. */
    private void exit(int code, String message) {
        status.complete(code);
        while (true) {
            LockSupport.park();
        }
    }
}
